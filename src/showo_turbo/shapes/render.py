"""Draws a scene as pixels, with exact colors and no antialiasing."""

import numpy as np
from numpy.typing import NDArray

from .scene import (
    BACKGROUND_VALUES,
    CELL_SIZE,
    COLOR_VALUES,
    IMAGE_SIZE,
    OBJECT_SIZE,
    Scene,
)

_DRAWINGS = {
    "circle": (
        "..##..",
        ".####.",
        "######",
        "######",
        ".####.",
        "..##..",
    ),
    "square": (
        "######",
        "######",
        "######",
        "######",
        "######",
        "######",
    ),
    "triangle": (
        "..##..",
        "..##..",
        ".####.",
        ".####.",
        "######",
        "######",
    ),
    # A diagonal cross: an upright one would differ from the small circle in four pixels only.
    "cross": (
        "##..##",
        ".####.",
        "..##..",
        "..##..",
        ".####.",
        "##..##",
    ),
}

SHAPE_MASKS: dict[str, NDArray[np.bool_]] = {
    shape: np.array([[mark == "#" for mark in line] for line in lines])
    for shape, lines in _DRAWINGS.items()
}
"""Mask of each shape, `(6, 6)`, true where it is painted."""

INSET = (CELL_SIZE - OBJECT_SIZE) // 2
"""Pixels between a cell's edge and its object."""


def render(scene: Scene) -> NDArray[np.uint8]:
    """Draw a scene.

    Args:
        scene: What to draw.

    Returns:
        RGB pixels `(24, 24, 3)`.
    """
    pixels = np.empty((IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    pixels[:] = BACKGROUND_VALUES[scene.background]
    for item in scene.objects:
        top = item.row * CELL_SIZE + INSET
        left = item.column * CELL_SIZE + INSET
        box = pixels[top : top + OBJECT_SIZE, left : left + OBJECT_SIZE]
        box[SHAPE_MASKS[item.shape]] = COLOR_VALUES[item.color]
    return pixels
