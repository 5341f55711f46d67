"""Checks of options that several samplers share."""

import math
from collections.abc import Sequence

from ..errors import UserError


def check_not_negative(**options: float) -> None:
    """Refuse options that are negative or no number.

    Raises:
        UserError: Naming the first such option.
    """
    for name, value in options.items():
        if not (math.isfinite(value) and value >= 0):
            raise UserError(f"{name} is {value}; it must be 0 or more")


def check_top_k(top_k: int | None, candidates: int, kind: str) -> None:
    """Refuse a top-k that is none.

    Args:
        top_k: Number of candidates to draw among.
        candidates: How many there are.
        kind: What they are.

    Raises:
        UserError: If it is below 1 or above their number.
    """
    if top_k is not None and not 1 <= top_k <= candidates:
        raise UserError(f"top_k is {top_k}; choose 1 to {candidates} (the {kind})")


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
        if not 0 <= seed < 2**63:
            raise UserError(f"seed {seed} is out of range; choose 0 to 2**63 - 1")
    return seeds
