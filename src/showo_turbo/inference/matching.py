"""Lists that belong together, as people give them: several entries, or a single one for all."""

from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import UserError, shown


def listed(values: Any, single: Any) -> list[Any]:
    """Several values as a list, and a single one as a list of it.

    Args:
        values: One or several.
        single: The type of a single one.

    Raises:
        UserError: If it is neither.
    """
    if isinstance(values, single):
        return [values]
    if not isinstance(values, Iterable):
        expected = getattr(single, "__name__", str(single))
        raise UserError(f"{shown(values)} is given; expected {expected}, or several of them")
    return list(values)


def each(values: Any, single: Any, count: int) -> Any:
    """A single value as often as there are samples; several, and None, as they are."""
    return [values] * count if isinstance(values, single) else values


def matched(**lists: Sequence[Any]) -> list[list[Any]]:
    """The lists, each as long as the longest: a single entry goes with all of the others.

    Args:
        **lists: By the name of what they hold, in the plural.

    Raises:
        UserError: If one is empty, or has neither one entry nor as many as the longest.
    """
    for name, values in lists.items():
        if not values:
            raise UserError(f"there are no {name}; give at least one")
    longest = max(map(len, lists.values()))
    if any(len(values) not in (1, longest) for values in lists.values()):
        counts = " and ".join(f"{len(values)} {name}" for name, values in lists.items())
        raise UserError(f"there are {counts}; give one of each for every image, or a single one")
    return [list(values) * (longest if len(values) == 1 else 1) for values in lists.values()]
