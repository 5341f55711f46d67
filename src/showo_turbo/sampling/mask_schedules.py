"""How many image tokens stay masked after each denoising step."""

import math
from collections.abc import Callable
from typing import Literal

from ..errors import UserError

MaskSchedule = Literal["cosine", "linear", "pow", "sigmoid"]

_SIGMOID_START, _SIGMOID_END, _SIGMOID_TAU = -3.0, 3.0, 1.0


def _sigmoid(ratio: float) -> float:
    """A logistic curve, rescaled to run from 1 to 0."""

    def logistic(x: float) -> float:
        return 1.0 / (1.0 + math.exp(-x))

    start, end = logistic(_SIGMOID_START), logistic(_SIGMOID_END)
    here = logistic((ratio * (_SIGMOID_END - _SIGMOID_START) + _SIGMOID_START) / _SIGMOID_TAU)
    return (end - here) / (end - start)


_SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda ratio: math.cos(ratio * math.pi / 2),
    "linear": lambda ratio: 1.0 - ratio,
    "pow": lambda ratio: 1.0 - ratio**2,
    "sigmoid": _sigmoid,
}


def check_mask_schedule(schedule: str) -> None:
    """Raise if the schedule is unknown.

    Raises:
        UserError: Naming the known ones.
    """
    if schedule not in _SCHEDULES:
        raise UserError(
            f"mask schedule {schedule!r} is unknown; choose one of {', '.join(_SCHEDULES)}"
        )


def masked_share(ratio: float, schedule: MaskSchedule = "cosine") -> float:
    """Share of tokens still masked when `ratio` of the steps is done.

    Args:
        ratio: Progress in [0, 1].
        schedule: `cosine`: cos(pi/2 r); `linear`: 1 - r; `pow`: 1 - r^2; `sigmoid`: a logistic
            curve from 1 to 0.

    Raises:
        UserError: If the schedule is unknown.

    Source: MaskGIT (arXiv 2202.04200), section 3.3.
    """
    check_mask_schedule(schedule)
    return min(1.0, max(0.0, _SCHEDULES[schedule](ratio)))


def tokens_left_masked(
    step: int, steps: int, image_tokens: int, unknown: int, schedule: MaskSchedule = "cosine"
) -> int:
    """Tokens that stay masked after step `step` of `steps`.

    Before the last step at least one token is kept back. At least one is revealed in every step,
    but for the case that only one is left early, as it can be with almost as many steps as tokens:
    it waits for the last step, as in the published sampler.

    Args:
        step: 1 .. steps.
        steps: Steps in all.
        image_tokens: Tokens that the schedule's shares are of: all of an image, or those that were
            masked at the beginning.
        unknown: Tokens masked before the step.
        schedule: See `masked_share`.
    """
    if step == steps:
        return 0
    planned = math.floor(image_tokens * masked_share(step / steps, schedule))
    return max(1, min(unknown - 1, planned))
