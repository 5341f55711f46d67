"""Runs of `showo-turbo fit` as real processes, killed at chosen moments of their phases.

A process tells over a pipe which phase it enters and leaves.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from . import marked_run
from .small_run import CONFIG

PHASES = [
    "data generation",
    "collecting",
    "training mid-epoch",
    "last batch of an epoch",
    "checkpoint writing",
    "change of stage",
    "validation",
]
TIMEOUT = 600
"""Seconds in which a process must say something of itself."""

COMMAND = ["fit", "-c", "config.yaml", "--resume", "auto"]


@dataclass(frozen=True)
class Moment:
    """When to kill: so many seconds after a phase is entered for the n-th time."""

    phase: str
    entry: int
    delay: float


@dataclass
class Run:
    """One run of the command, in as many processes as are needed.

    Attributes:
        folder: A new folder.
        model: That of the networks.
        python: What runs it, such as one of `forking_python`.
        died_in: The phase in which it was last killed.
        seconds: How long the phases took in the process that came to the end.
    """

    folder: Path
    model: Path
    python: str = sys.executable
    died_in: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "model").symlink_to(self.model.resolve())
        (self.folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))

    @property
    def log(self) -> Path:
        """What the processes said."""
        return self.folder / "log.txt"

    def start_and_kill(self, moment: Moment | None) -> bool:
        """Start the run or resume it, and kill it at the moment, if it comes to that.

        Returns:
            Whether the run ended by itself.
        """
        reading, writing = os.pipe()
        process = Started(self, writing)
        os.close(writing)
        state = Phases()
        try:
            for line in lines(reading):
                state.read(line)
                if moment and state.current == moment.phase and line[0] == "+":
                    if state.entries[moment.phase] < moment.entry:
                        continue
                    time.sleep(moment.delay)
                    process.kill()
                    moment = None
        finally:
            os.close(reading)
            process.kill()
            status = process.wait()
        if status == 0:
            self.seconds = state.mean_seconds()
            return True
        if status != -signal.SIGKILL:
            raise RuntimeError(f"a process ended with {status}; see {self.log}")
        self.died_in = state.current or "outside these phases"
        return False


class Started(subprocess.Popen[bytes]):
    """A process of a run."""

    def __init__(self, run: Run, descriptor: int) -> None:
        command = [run.python, marked_run.__file__, str(descriptor), *COMMAND]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        with open(run.log, "a") as log:
            super().__init__(
                command,
                cwd=run.folder,
                env=environment,
                stdout=log,
                stderr=log,
                pass_fds=[descriptor],
            )


@dataclass
class Phases:
    """What a process tells of the phases that it enters and leaves; the inner one counts."""

    stack: list[str] = field(default_factory=list)
    since: float = 0.0
    entries: Counter[str] = field(default_factory=Counter)
    spent: Counter[str] = field(default_factory=Counter)

    @property
    def current(self) -> str:
        return self.stack[-1] if self.stack else ""

    def read(self, line: str) -> None:
        now = time.monotonic()
        if self.stack:
            self.spent[self.current] += now - self.since
        self.since = now
        if line[0] == "+":
            self.stack.append(line[1:])
            self.entries[line[1:]] += 1
        else:
            self.stack.pop()

    def mean_seconds(self) -> dict[str, float]:
        return {name: self.spent[name] / self.entries[name] for name in self.entries}


def lines(descriptor: int) -> Iterator[str]:
    """Lines of a pipe as they come, until it is closed."""
    rest = ""
    while select.select([descriptor], [], [], TIMEOUT)[0]:
        data = os.read(descriptor, 4096).decode()
        if not data:
            return
        *whole, rest = (rest + data).split("\n")
        yield from whole
    raise TimeoutError(f"a process said nothing for {TIMEOUT} s")
