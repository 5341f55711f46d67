"""Which state of a trajectory a training sample starts from."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

from ..errors import UserError
from ..sampling.mask_schedules import MaskSchedule, check_mask_schedule, tokens_left_masked
from ..utils.random import uniform

STEP_WEIGHTS = MappingProxyType({1: 0.4, 2: 0.3, 4: 0.2, 8: 0.1})
"""Of samplers, by their number of steps: the fewer, the more."""


class StateDraws(ABC):
    """How the state k of a trajectory is drawn. One of your own is a subclass, named in the YAML.

    A draw is a function of its arguments, with no state of a generator behind it, so that it is the
    same after a resume and on any number of devices and workers.
    """

    @abstractmethod
    def draw(self, masked: Sequence[int], seed: int) -> int:
        """Draw a state.

        Args:
            masked: Number of masked tokens of each state, `0 .. steps - 1`.
            seed: 63 random bits, others for every sample and epoch.

        Returns:
            k, `0 .. steps - 1`.
        """


@dataclass(frozen=True)
class UniformDraws(StateDraws):
    """Every state with the same probability, as published; the first one more often if asked for.

    Args:
        first: Probability of drawing the fully masked state, which every sampler starts from, on
            top of its share of the uniform draws.

    Raises:
        UserError: If it is not a probability.
    """

    first: float = 0.0

    def __post_init__(self) -> None:
        _check_probability("first", self.first)

    def draw(self, masked: Sequence[int], seed: int) -> int:
        """Draw a state; see `StateDraws.draw`."""
        if self.first > 0 and uniform(seed, stream="first") < self.first:
            return 0
        return seed % len(masked)


@dataclass(frozen=True)
class SamplerDraws(StateDraws):
    """The states that the student's few-step samplers pass through, more often than others.

    `P(k) = (1 - share) / K + share * sum_n w_n / n * sum_j [k is the state whose number of masked
    tokens is nearest to that before step j of a sampler of n steps]`, j = 1 .. n.

    Args:
        share: Probability of drawing by the samplers; the rest of the draws is uniform.
        steps: Weight `w_n` of each sampler by its number of steps n; they are normalized.
        mask_schedule: Of the samplers.

    Raises:
        UserError: If a value is out of range.
    """

    share: float = 0.5
    steps: Mapping[int, float] = field(default_factory=lambda: dict(STEP_WEIGHTS))
    mask_schedule: MaskSchedule = "cosine"

    def __post_init__(self) -> None:
        _check_probability("share", self.share)
        check_mask_schedule(self.mask_schedule)
        if not self.steps or min(self.steps) < 1 or min(self.steps.values()) < 0:
            raise UserError(
                f"steps is {dict(self.steps)}; expected numbers of steps with weights of 0 or "
                "more, such as {1: 0.4, 4: 0.6}"
            )
        if sum(self.steps.values()) <= 0:
            raise UserError("all weights of steps are 0; expected one above 0, set it")

    def draw(self, masked: Sequence[int], seed: int) -> int:
        """Draw a state; see `StateDraws.draw`."""
        if uniform(seed, stream="share") >= self.share:
            return seed % len(masked)
        place = uniform(seed, stream="sampler")
        weights = tuple(sorted(self.steps.items()))
        left = place * sum(weight for _, weight in weights)
        for count, weight in weights:
            if left < weight:
                step = min(int(left / weight * count), count - 1)
                wanted = _masked_before(count, masked[0], self.mask_schedule)[step]
                return _nearest(masked, wanted)
            left -= weight
        return 0  # rounding left nothing over


def _nearest(masked: Sequence[int], wanted: int) -> int:
    """The state with the nearest number of masked tokens; of several the first."""
    return min(range(len(masked)), key=lambda k: (abs(masked[k] - wanted), k))


@lru_cache(maxsize=256)
def _masked_before(steps: int, tokens: int, schedule: MaskSchedule) -> tuple[int, ...]:
    """Masked tokens before each step of a sampler."""
    left = [tokens]
    for step in range(1, steps):
        left.append(tokens_left_masked(step, steps, tokens, left[-1], schedule))
    return tuple(left)


def _check_probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UserError(f"{name} is {value}; expected a probability, set it to 0..1")
