"""Changes of a scene, step by step: what can be asked for, and in which words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .scene import COLORS, GRID_SIZE, SHAPES, Scene, SceneObject

DIRECTIONS: dict[str, tuple[int, int]] = {
    "left": (0, -1),
    "right": (0, 1),
    "up": (-1, 0),
    "down": (1, 0),
}
"""Rows and columns of a move."""

_TIMES = {1: "", 2: " twice"}
_MOVE = re.compile(r"The (\w+) (\w+) moves (\w+)\.")
_TURN = re.compile(r"The (\w+) (\w+) turns (\w+)\.")


@dataclass(frozen=True)
class Change:
    """What happens in one step: an object moves to the next cell, or gets another color.

    Attributes:
        color: The object's color before.
        shape: The object's shape.
        move: One of `DIRECTIONS`, or None.
        turn: The new color, or None; one of the two is given.
    """

    color: str
    shape: str
    move: str | None = None
    turn: str | None = None

    @property
    def sentence(self) -> str:
        """The sentence that tells it, such as "The red circle moves right."."""
        subject = f"The {self.color} {self.shape}"
        return f"{subject} moves {self.move}." if self.move else f"{subject} turns {self.turn}."

    def apply(self, scene: Scene) -> Scene | None:
        """The scene after it; None if no single such object is there, or it cannot happen."""
        named = [o for o in scene.objects if (o.color, o.shape) == (self.color, self.shape)]
        if len(named) != 1:
            return None
        after = self._of(named[0])
        others = tuple(item for item in scene.objects if item is not named[0])
        taken = {(item.row, item.column) for item in others}
        if after is None or (after.row, after.column) in taken:
            return None
        return Scene((*others, after), scene.background)

    def _of(self, item: SceneObject) -> SceneObject | None:
        if self.turn is not None:
            return replace(item, color=self.turn)
        assert self.move is not None  # one of the two is given
        down, right = DIRECTIONS[self.move]
        row, column = item.row + down, item.column + right
        if not (0 <= row < GRID_SIZE and 0 <= column < GRID_SIZE):
            return None
        return replace(item, row=row, column=column)


def parse_sentence(text: str) -> Change | None:
    """The change that a sentence tells; None if the world has no such change."""
    for pattern, what, known in ((_MOVE, "move", DIRECTIONS), (_TURN, "turn", COLORS)):
        if match := pattern.fullmatch(text.strip()):
            color, shape, value = match.groups()
            if color in COLORS and shape in SHAPES and value in known:
                return Change(color, shape, **{what: value})
    return None


def request_text(changes: Sequence[Change]) -> str:
    """What asks for changes of one object, such as "move the red circle right twice".

    Moves must follow each other in one direction. A second kind of change is behind ", then", and
    calls the object "it".
    """
    parts: list[str] = []
    left = list(changes)
    while left:
        first = left[0]
        subject = "it" if parts else f"the {first.color} {first.shape}"
        count = 1
        if first.move is not None:
            while count < len(left) and left[count].move == first.move:
                count += 1
            parts.append(f"move {subject} {first.move}{_TIMES[count]}")
        else:
            parts.append(f"make {subject} {first.turn}")
        del left[:count]
    return ", then ".join(parts)
