"""GenEval's rules on the objects that were found in an image."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CATEGORIES = ("single_object", "two_object", "counting", "colors", "position", "color_attr")

CONFIDENCE, COUNTING_CONFIDENCE = 0.3, 0.9
MOST_OBJECTS = 16
OVERLAP = 0.1
"""Share of the two sizes that centers must be apart for a relation to hold."""


@dataclass(frozen=True, eq=False)
class FoundObject:
    """An object in an image.

    Attributes:
        name: Its class, in GenEval's words.
        score: How sure the detector is, in [0, 1].
        box: `(left, top, right, bottom)` in pixels.
        mask: Where it is, `(height, width)`; None if only the box is known.
    """

    name: str
    score: float
    box: tuple[float, float, float, float]
    mask: NDArray[np.bool_] | None = None


NameColors = Callable[[Sequence[FoundObject]], Sequence[str]]
"""Names the color of each object of one class."""


def judge(
    objects: Sequence[FoundObject], metadata: Mapping[str, Any], name_colors: NameColors
) -> bool:
    """Whether an image satisfies its prompt.

    `include` lists groups that must be there: a class, how many, perhaps their color, and perhaps
    where they are with respect to an earlier group. `exclude` lists numbers of a class that must
    not be reached. Only the surest objects of a class are looked at: as many as are asked for.

    Args:
        objects: What was found, in any order, however unsure.
        metadata: A line of GenEval's `evaluation_metadata.jsonl`.
        name_colors: Asked only when the prompt names a color.
    """
    by_class = _surest(
        objects, COUNTING_CONFIDENCE if metadata["tag"] == "counting" else CONFIDENCE
    )
    groups: list[Sequence[FoundObject] | None] = []
    for wanted in metadata.get("include", ()):
        found = by_class.get(wanted["class"], [])[: wanted["count"]]
        matched = len(found) == wanted["count"]
        if matched and "color" in wanted:
            matched = all(color == wanted["color"] for color in name_colors(found))
        if matched and wanted.get("position"):
            relation, index = wanted["position"]
            others = groups[index]
            matched = others is not None and all(
                relation in relations(one, other) for one in found for other in others
            )
        groups.append(found if matched else None)
    too_many = any(
        len(by_class.get(banned["class"], [])) >= banned["count"]
        for banned in metadata.get("exclude", ())
    )
    return None not in groups and not too_many


def relations(one: FoundObject, other: FoundObject) -> set[str]:
    """Where an object is with respect to another: `left of`, `right of`, `above`, `below`.

    Boxes whose centers are close for their size are in no relation; otherwise those hold in whose
    direction more than half of the distance lies.
    """
    first, second = (np.array(entry.box, dtype=float).reshape(2, 2) for entry in (one, other))
    offset = first.mean(axis=0) - second.mean(axis=0)
    sizes = np.abs(np.diff(first, axis=0)[0]) + np.abs(np.diff(second, axis=0)[0])
    beyond = np.maximum(np.abs(offset) - OVERLAP * sizes, 0) * np.sign(offset)
    if np.all(np.abs(beyond) < 1e-3):
        return set()
    x, y = beyond / np.linalg.norm(offset)
    held = {"left of": x < -0.5, "right of": x > 0.5, "above": y < -0.5, "below": y > 0.5}
    return {name for name, holds in held.items() if holds}


def _surest(objects: Sequence[FoundObject], confidence: float) -> dict[str, list[FoundObject]]:
    """The objects of each class that the detector is sure enough of, the surest first."""
    found: dict[str, list[FoundObject]] = {}
    for entry in sorted(objects, key=lambda entry: -entry.score):
        of_class = found.setdefault(entry.name, [])
        if entry.score > confidence and len(of_class) < MOST_OBJECTS:
            of_class.append(entry)
    return found
