"""Bad samples of large data sets: left out, counted and listed, up to a limit."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from ..errors import BadSample, UserError
from ..utils.lock import folder_lock

FILE_NAME = "bad_samples.txt"
"""Where they are listed, in the folder of the run."""

LOCK_FILE = ".bad_samples.lock"

OPTION = "max_bad_samples"
"""What the limit is called wherever it is set."""

Skip = Callable[[BadSample], None]
"""What readers do with a bad sample: it returns if they are to go on without it."""


def refuse(error: BadSample) -> NoReturn:
    """Leave out nothing.

    Raises:
        BadSample: Always.
    """
    raise error


class BadSamples:
    """The bad samples of a run, those that its other processes met included.

    A sample is left out where it is met. Nothing takes its place, so a batch has one sample less.
    All processes of a run share the list, and a resumed run goes on with it.

    Args:
        limit: How many samples may be left out.
        folder: Of the run; it gets `bad_samples.txt`, with a line for each, with the first of them.

    Attributes:
        reasons: One line for each bad sample that is known so far: which it is, and what is wrong.

    Raises:
        UserError: If the limit is negative.
    """

    def __init__(self, limit: int, folder: Path) -> None:
        if limit < 0:
            raise UserError(f"{OPTION} is {limit}; expected 0 or more, 0 leaves out nothing")
        self.limit = limit
        self.file = folder / FILE_NAME
        self.reasons: set[str] = set()
        self._read = 0

    def skip(self, error: BadSample) -> None:
        """Count and list a bad sample, once however often it is met.

        Raises:
            UserError: If there are now more than the limit.
        """
        if not self.limit:
            raise UserError(f"{error}; or leave out such samples, with {OPTION}") from error
        reason = " ".join(str(error).split())
        if reason not in self.reasons:
            self._add(reason)
        if len(self.reasons) > self.limit:
            raise UserError(
                f"{len(self.reasons)} samples are bad, but {OPTION} is {self.limit}; repair or "
                f"remove those in {self.file} and delete that list, or raise the limit; the last "
                f"one: {reason}"
            ) from error

    def _add(self, reason: str) -> None:
        """Read what other processes have listed meanwhile, and list one more."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        lock = folder_lock(self.file.parent, LOCK_FILE, wait_s=math.inf)
        with lock, open(self.file, "ab+") as file:
            file.seek(self._read)
            self.reasons.update(file.read().decode(errors="replace").splitlines())
            if reason not in self.reasons:
                self.reasons.add(reason)
                file.write(f"{reason}\n".encode(errors="backslashreplace"))
            self._read = file.tell()
