"""Prompts of the shapes world: their text and what an image must hold to satisfy them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from .scene import BACKGROUNDS, COLORS, SHAPES, Scene, SceneObject

CATEGORIES = (
    "single_object",
    "two_object",
    "counting",
    "colors",
    "position",
    "color_attribution",
)
"""The six categories of GenEval (https://arxiv.org/abs/2310.11513, section 3)."""

RELATIONS = ("left of", "right of", "above", "below")


@dataclass(frozen=True)
class Requirement:
    """So many objects of a shape, and of a color if the prompt names one."""

    shape: str
    color: str | None = None
    count: int = 1

    def matches(self, item: SceneObject) -> bool:
        """Whether an object is one of those required."""
        return item.shape == self.shape and self.color in (None, item.color)

    def __str__(self) -> str:
        """The requirement in words, such as "2 red circle"."""
        return f"{self.count} {self.color + ' ' if self.color else ''}{self.shape}"


@dataclass(frozen=True)
class Prompt:
    """A text and its meaning, in the spirit of GenEval's metadata.

    An image satisfies it when it holds exactly the required objects and nothing more.

    Args:
        text: What the model is given.
        category: One of `CATEGORIES`.
        requirements: The objects, in the order of the text.
        relation: Where the first required object lies as seen from the second: one of
            `RELATIONS`, or None.
        background: Color of the background if the text names it.
    """

    text: str
    category: str
    requirements: tuple[Requirement, ...]
    relation: str | None = None
    background: str | None = None

    def to_metadata(self) -> dict[str, Any]:
        """The prompt as a line of GenEval's metadata, plus `background` where it is named.

        GenEval puts the object of reference first: "a circle left of a square" includes the
        square and then the circle, with `"position": ["left of", 0]`.
        """
        include: list[dict[str, Any]] = []
        for requirement in self.requirements:
            entry: dict[str, Any] = {"class": requirement.shape, "count": requirement.count}
            if requirement.color is not None:
                entry["color"] = requirement.color
            include.append(entry)
        if self.relation is not None:
            include.reverse()
            include[1]["position"] = [self.relation, 0]
        metadata: dict[str, Any] = {
            "tag": self.category,
            "include": include,
            "prompt": self.text,
        }
        if self.background is not None:
            metadata["background"] = self.background
        return metadata

    @classmethod
    def from_metadata(cls, metadata: dict[str, Any]) -> Prompt:
        """Read back what `to_metadata` wrote.

        Raises:
            UserError: When a key is missing or names something that the world does not have.
        """
        try:
            text, category = str(metadata["prompt"]), metadata["tag"]
            include = list(metadata["include"])
            requirements = [
                Requirement(entry["class"], entry.get("color"), int(entry.get("count", 1)))
                for entry in include
            ]
            positions = [entry["position"] for entry in include if "position" in entry]
            relation = positions[0][0] if positions else None
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise UserError(
                f"prompt metadata {metadata!r}: expected the keys tag, include (class, count) "
                f"and prompt ({error}); see prompts/test.jsonl of a generated world"
            ) from error
        background = metadata.get("background")
        _expect(text, "tag", category, CATEGORIES)
        _expect(text, "position", relation, (None, *RELATIONS))
        _expect(text, "background", background, (None, *BACKGROUNDS))
        for requirement in requirements:
            _expect(text, "class", requirement.shape, SHAPES)
            _expect(text, "color", requirement.color, (None, *COLORS))
        if relation is not None:
            if len(requirements) != 2:
                raise UserError(
                    f"prompt {text!r}: a position with {len(requirements)} objects, expected 2"
                )
            requirements.reverse()
        return cls(text, category, tuple(requirements), relation, background)


def _expect(text: str, key: str, value: object, allowed: tuple[str | None, ...]) -> None:
    if value not in allowed:
        names = ", ".join(str(name) for name in allowed if name is not None)
        raise UserError(f"prompt {text!r}: {key} is {value!r}, expected one of {names}")


def relation_holds(first: SceneObject, relation: str, second: SceneObject) -> bool:
    """Whether `first` lies left of, right of, above or below `second`.

    Left of means a strictly smaller column, above a strictly smaller row; the other coordinate
    is free.
    """
    if relation == "left of":
        return first.column < second.column
    if relation == "right of":
        return first.column > second.column
    if relation == "above":
        return first.row < second.row
    return first.row > second.row


def find_mismatch(scene: Scene, prompt: Prompt) -> str:
    """What is wrong with a scene as an answer to a prompt.

    Args:
        scene: What an image holds.
        prompt: What it should hold.

    Returns:
        One short sentence, empty when the scene satisfies the prompt.
    """
    if prompt.background not in (None, scene.background):
        return f"expected a {prompt.background} background, found {scene.background}"
    for requirement in prompt.requirements:
        found = sum(requirement.matches(item) for item in scene.objects)
        if found != requirement.count:
            return f"expected {requirement}, found {found}"
    required = sum(requirement.count for requirement in prompt.requirements)
    if len(scene.objects) != required:
        return f"expected {required} objects in all, found {len(scene.objects)}"
    if prompt.relation is not None:
        first, second = (
            next(item for item in scene.objects if requirement.matches(item))
            for requirement in prompt.requirements
        )
        if not relation_holds(first, prompt.relation, second):
            return f"the {first.shape} is not {prompt.relation} the {second.shape}"
    return ""


def satisfies(scene: Scene, prompt: Prompt) -> bool:
    """Whether a scene holds exactly what a prompt says."""
    return not find_mismatch(scene, prompt)
