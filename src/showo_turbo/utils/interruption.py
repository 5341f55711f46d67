"""Ending a run by a signal: after the step that it is in, with a checkpoint, or at once."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

_at_once = 0


@contextmanager
def ends_at_once() -> Iterator[None]:
    """Work that a signal may cut short, since what it has finished is kept and found again."""
    global _at_once
    _at_once += 1
    try:
        yield
    finally:
        _at_once -= 1


class Interruption:
    """How SIGTERM, SIGINT (Ctrl-C) and further signals end a run.

    The first of them asks the run to end after its step. A second one, or the first where work may
    be cut short, ends it at once.

    Args:
        ask: Asks the run to end after its step.
        stops: Whether the run is where it can be asked; elsewhere it ends at once.
        further: Signals that end it besides these two.

    Attributes:
        received: The signal, once there was one.
    """

    def __init__(
        self,
        ask: Callable[[], None],
        stops: Callable[[], bool],
        further: Sequence[signal.Signals] = (),
    ) -> None:
        self.received: signal.Signals | None = None
        self._ask = ask
        self._stops = stops
        self._numbers = (signal.SIGTERM, signal.SIGINT, *further)

    @contextmanager
    def handled(self) -> Iterator["Interruption"]:
        """Handle the signals within, as far as this is the thread that signals come to."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.getsignal(number) for number in self._numbers}
        for number in before:
            signal.signal(number, self._handle)
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> Any:
        again, self.received = self.received is not None, signal.Signals(number)
        if again or _at_once or not self._stops():
            raise KeyboardInterrupt
        print("ending after this step; once more ends it at once", file=sys.stderr, flush=True)
        self._ask()

    @property
    def status(self) -> int:
        """The exit status of a process that the signal has ended, as shells have it."""
        assert self.received is not None
        return 128 + self.received
