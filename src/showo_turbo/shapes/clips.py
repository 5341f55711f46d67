"""Clips of moving shapes: one or two of them, each along its own lane, from edge to edge."""

from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..sampling.options import check_choice
from .combinations import hashed_split
from .conversations import Turn
from .render import INSET, SHAPE_MASKS
from .sampling import generator
from .scene import (
    BACKGROUND_VALUES,
    BACKGROUNDS,
    CELL_SIZE,
    COLOR_VALUES,
    COLORS,
    GRID_SIZE,
    IMAGE_SIZE,
    OBJECT_SIZE,
    SHAPES,
)
from .stories import check_split
from .wording import capitalize, with_article

FRAMES = 17
"""Frames of a clip."""

Level = Literal["easy", "hard"]
"""Easy: four pixels, the side of a patch, every four frames; hard: a pixel a frame."""

DIRECTIONS = {
    "right": "from left to right",
    "left": "from right to left",
    "down": "from top to bottom",
    "up": "from bottom to top",
}
_HORIZONTAL, _VERTICAL = ("right", "left"), ("down", "up")


@dataclass(frozen=True)
class Mover:
    """A shape that moves from one edge to the other.

    Attributes:
        shape: One of `SHAPES`.
        color: One of `COLORS`.
        direction: One of `DIRECTIONS`.
        lane: Row or column of cells that it moves along, from 0.
    """

    shape: str
    color: str
    direction: str
    lane: int

    @property
    def horizontal(self) -> bool:
        """Whether it moves along a row."""
        return self.direction in _HORIZONTAL

    @property
    def phrase(self) -> str:
        """How captions tell it, such as "a red circle moves from left to right"."""
        return f"{with_article(f'{self.color} {self.shape}')} moves {DIRECTIONS[self.direction]}"

    def corner(self, frame: int, level: Level) -> tuple[int, int]:
        """Top and left of its box in a frame, counted from 0."""
        along = INSET + travelled(frame, level)
        if self.direction in ("left", "up"):
            along = IMAGE_SIZE - OBJECT_SIZE - along
        across = self.lane * CELL_SIZE + INSET
        return (across, along) if self.horizontal else (along, across)


def travelled(frame: int, level: Level) -> int:
    """Pixels that shapes have moved by in a frame: on the easy level always whole patches."""
    return frame if level == "hard" else -(-frame // 4) * 4


@dataclass(frozen=True)
class ClipScene:
    """What a clip shows.

    Attributes:
        movers: One or two shapes in lanes of their own, in the order of the lanes.
        background: One of `BACKGROUNDS`.
        level: How they move.
    """

    movers: tuple[Mover, ...]
    background: str
    level: Level = "easy"

    @property
    def captions(self) -> tuple[str, str]:
        """What moves how, without and with the background."""
        what = " and ".join(mover.phrase for mover in self.movers)
        return what, f"{what} on a {self.background} background"

    def to_metadata(self, with_background: bool) -> dict[str, Any]:
        """A line of an evaluation file: the caption, and what a clip must show of it."""
        metadata: dict[str, Any] = {
            "tag": ("one", "two")[len(self.movers) - 1],
            "movers": [
                {"shape": m.shape, "color": m.color, "direction": m.direction} for m in self.movers
            ],
            "level": self.level,
            "prompt": self.captions[with_background],
        }
        return metadata | ({"background": self.background} if with_background else {})


def render_clip(scene: ClipScene) -> NDArray[np.uint8]:
    """Draw a clip, RGB `(17, 24, 24, 3)`."""
    pixels = np.empty((FRAMES, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    pixels[:] = BACKGROUND_VALUES[scene.background]
    for frame, mover in product(range(FRAMES), scene.movers):
        top, left = mover.corner(frame, scene.level)
        box = pixels[frame, top : top + OBJECT_SIZE, left : left + OBJECT_SIZE]
        box[SHAPE_MASKS[mover.shape]] = COLOR_VALUES[mover.color]
    return pixels


def split_of(scene: ClipScene) -> str:
    """The one split whose clips show what this one does; a hash of it decides.

    Two shapes count as the same whichever of them has the first lane and begins the caption.
    """
    return hashed_split(f"clip/{' and '.join(sorted(mover.phrase for mover in scene.movers))}")


def sample_clip(
    index: int, seed: int = 0, *, split: str = "train", level: Level = "easy"
) -> ClipScene:
    """Draw a clip; it depends on nothing but the arguments.

    Args:
        index: Number of the clip in its split, from 0.
        seed: Seed of all clips.
        split: `train`, `validation` or `test`: each shows what no clip of the others does.
        level: How shapes move.

    Raises:
        UserError: For another split or level.
    """
    check_split(split)
    check_choice(Level, level=level)
    random = generator(seed, f"clips/{split}", index)
    while True:
        scene = _draw(random, level)
        if split_of(scene) == split:
            return scene


def _draw(random: Random, level: Level) -> ClipScene:
    """One or two shapes, which differ in shape and in color, in lanes of one axis."""
    count = random.randint(1, 2)
    directions = random.choice((_HORIZONTAL, _VERTICAL))
    shapes, colors = random.sample(SHAPES, count), random.sample(COLORS, count)
    lanes = sorted(random.sample(range(GRID_SIZE), count))
    movers = (
        Mover(shape, color, random.choice(directions), lane)
        for shape, color, lane in zip(shapes, colors, lanes, strict=True)
    )
    return ClipScene(tuple(movers), random.choice(BACKGROUNDS), level)


def clip_questions(scene: ClipScene) -> list[Turn]:
    """Questions about direction, color and order, with their answers."""
    turns = []
    for mover in scene.movers:
        name = f"{mover.color} {mover.shape}"
        way = DIRECTIONS[mover.direction]
        turns.append(Turn(f"How does the {name} move?", f"The {name} moves {way}."))
        turns.append(
            Turn(f"What color is the {mover.shape}?", f"The {mover.shape} is {mover.color}.")
        )
    if len(scene.movers) == 2:
        first = scene.movers[0]
        place = "higher" if first.horizontal else "further left"
        turns.append(
            Turn(f"Which shape is {place}?", capitalize(f"the {first.color} {first.shape}."))
        )
    return turns
