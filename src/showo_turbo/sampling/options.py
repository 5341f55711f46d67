"""Checks of options that several samplers share."""

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any, get_args

from ..errors import UserError, shown

LEAST_TEMPERATURE = 1e-3
"""Below, quotients of float32 logits overflow, and nothing but the likeliest would be drawn."""


def check_whole(**options: object) -> None:
    """Raise if an option is not a whole number; None stands for one that is not used.

    Raises:
        UserError: Naming the first such option.
    """
    for name, value in options.items():
        if value is not None and (type(value) is bool or not isinstance(value, Integral)):
            raise UserError(f"{name} is {shown(value)}; expected a whole number")


def check_choice(choices: Any, **options: object) -> None:
    """Raise if an option is not one of its choices.

    Args:
        choices: A `Literal` of them.
        **options: Values by their options' names.

    Raises:
        UserError: Naming the first such option.
    """
    for name, value in options.items():
        if value not in get_args(choices):
            known = " or ".join(repr(choice) for choice in get_args(choices))
            raise UserError(f"{name} is {shown(value)}; choose {known}")


def check_not_negative(**options: float) -> None:
    """Raise if an option is negative or not a number.

    Raises:
        UserError: Naming the first such option.
    """
    for name, value in options.items():
        if not (math.isfinite(value) and value >= 0):
            raise UserError(f"{name} is {value}; it must be 0 or more")


def check_temperature(**options: float) -> None:
    """Raise on temperatures that are neither 0 nor large enough to divide by.

    Raises:
        UserError: Naming the first such option.
    """
    check_not_negative(**options)
    for name, value in options.items():
        if 0 < value < LEAST_TEMPERATURE:
            raise UserError(
                f"{name} is {value}; choose 0 for the likeliest, or at least {LEAST_TEMPERATURE}"
            )


def check_top_k(top_k: int | None, candidates: int, kind: str) -> None:
    """Raise if top-k is out of range.

    Args:
        top_k: Number of candidates to sample from.
        candidates: How many there are.
        kind: What they are.

    Raises:
        UserError: If it is below 1 or above their number.
    """
    check_whole(top_k=top_k)
    if top_k is not None and not 1 <= top_k <= candidates:
        raise UserError(f"top_k is {top_k}; choose 1 to {candidates} (the {kind})")


def check_top_p(top_p: float | None) -> None:
    """Raise if top-p is not a probability.

    Raises:
        UserError: If it is not above 0, or above 1.
    """
    if top_p is not None and not 0 < top_p <= 1:
        raise UserError(f"top_p is {top_p}; it must be above 0 and at most 1")


def check_seed(seed: int, name: str = "seed") -> None:
    """Raise if no generator accepts the seed.

    Raises:
        UserError: If it is not a whole number or out of range.
    """
    check_whole(**{name: seed})
    if not 0 <= seed < 2**63:
        raise UserError(f"{name} {seed} is out of range; choose 0 to 2**63 - 1")


def seed_of_each(seeds: Sequence[int] | None, samples: int) -> Sequence[int]:
    """One seed a sample: those given, or 0, 1, 2, ...

    Raises:
        UserError: If there are more or fewer than samples, or one is out of range.
    """
    if seeds is None:
        return range(samples)
    if len(seeds) != samples:
        raise UserError(
            f"there are {len(seeds)} seeds for {samples} prompts; give one seed for each prompt"
        )
    for seed in seeds:
        check_seed(seed)
    return [int(seed) for seed in seeds]
