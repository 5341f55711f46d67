"""What was found out about files, remembered on this machine until one of them changes."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

CACHE_VARIABLE = "SHOWO_TURBO_CACHE"
"""Environment variable that names the folder for this, by default `~/.cache/showo-turbo`."""

_SETTLED_NS = 2 * 10**9
"""Younger files may change again without another time stamp, whose steps are coarse."""


def cache_folder() -> Path:
    """Where files of this package are kept between runs.

    A temporary folder of this process where that cannot be written to.
    """
    named = os.environ.get(CACHE_VARIABLE)
    folder = Path(named) if named else Path.home() / ".cache" / "showo-turbo"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return _temporary_folder()


@cache
def _temporary_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="showo-turbo-"))


class Remembered:
    """A text that was found out about files, such as a checksum of gigabytes.

    Files count as unchanged by their size, inode and times, those of the last change of their
    contents and of their inode, which no program can set back.

    Args:
        files: All files that it depends on.
        about: What is found out about them, and all else that it depends on.
    """

    def __init__(self, files: Sequence[Path], about: str) -> None:
        self._files = files
        self._about = about
        self._state = self._now()

    def get(self) -> str | None:
        """The text; None if it is not known, or no longer."""
        if self._state is None:
            return None
        try:
            return self._place().read_text(encoding="utf-8")
        except OSError:
            return None

    def set(self, text: str) -> None:
        """Remember it, unless the files have changed since, or only just before."""
        state = self._now()
        if state is None or state != self._state:
            return
        changed = max((max(times[2:4]) for times in state), default=0)
        if time.time_ns() - changed < _SETTLED_NS:
            return
        place = self._place()
        temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, place)
        except OSError:  # it is found out again
            pass

    def _now(self) -> list[tuple[int, int, int, int]] | None:
        try:
            found = [path.stat() for path in self._files]
        except OSError:
            return None
        return [(s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in found]

    def _place(self) -> Path:
        names = [str(path.absolute()) for path in self._files]
        key = json.dumps([self._about, names, self._state])
        return cache_folder() / "remembered" / hashlib.sha256(key.encode()).hexdigest()


def remembered(files: Sequence[Path], about: str, find_out: Callable[[], str]) -> str:
    """What `find_out` gives, called only where it is not remembered; see `Remembered`."""
    note = Remembered(files, about)
    text = note.get()
    if text is None:
        text = find_out()
        note.set(text)
    return text
