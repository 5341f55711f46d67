"""How long the rounds of a curriculum take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class RoundClock:
    """Counts the seconds that every round collects and trains; a resumed run goes on counting.

    Attributes:
        seconds: Phase (`collect`, `fit`) -> seconds of each round.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {"collect": [], "fit": []}
        self._began: float | None = None

    @contextmanager
    def collecting(self, round_index: int) -> Iterator[None]:
        """Count the time in the context as the collection of a round."""
        began = time.perf_counter()
        yield
        self._add("collect", round_index, time.perf_counter() - began)

    def begin_training(self) -> None:
        """From now on, time counts as training."""
        self._began = time.perf_counter()

    def tick(self, round_index: int) -> None:
        """Count the time since training began, or since the last tick, for a round."""
        if self._began is not None:
            now = time.perf_counter()
            self._add("fit", round_index, now - self._began)
            self._began = now

    def _add(self, phase: str, round_index: int, seconds: float) -> None:
        rounds = self.seconds[phase]
        rounds += [0.0] * (round_index + 1 - len(rounds))
        rounds[round_index] += seconds
