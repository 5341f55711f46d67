"""What an image of the shapes world can hold: the fixed vocabulary and a scene of it."""

from dataclasses import dataclass

GRID_SIZE = 3
"""Cells per side of the image."""

CELL_SIZE = 8
"""Pixels per side of a cell."""

OBJECT_SIZE = 6
"""Pixels per side of the box that an object fills; it is inset by one pixel in its cell."""

IMAGE_SIZE = GRID_SIZE * CELL_SIZE
"""Pixels per side of the image."""

MAX_OBJECTS = 4
"""Most objects in a generated scene."""

SHAPES = ("circle", "square", "triangle", "cross")

COLOR_VALUES: dict[str, tuple[int, int, int]] = {
    "red": (225, 25, 30),
    "orange": (255, 140, 0),
    "yellow": (255, 240, 30),
    "green": (0, 160, 60),
    "blue": (20, 70, 230),
    "purple": (150, 30, 190),
}
"""RGB of each color, far enough apart that noise of 25 per channel never confuses two of them."""

COLORS = tuple(COLOR_VALUES)

BACKGROUND_VALUES: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "black": (0, 0, 0),
}

BACKGROUNDS = tuple(BACKGROUND_VALUES)

CELL_NAMES = (
    ("top left", "top center", "top right"),
    ("center left", "center", "center right"),
    ("bottom left", "bottom center", "bottom right"),
)
"""Name of each cell, by row and column."""

CELLS = tuple((row, column) for row in range(GRID_SIZE) for column in range(GRID_SIZE))
"""All cells as (row, column), in reading order."""


@dataclass(frozen=True)
class SceneObject:
    """One shape in one cell.

    Args:
        shape: One of `SHAPES`.
        color: One of `COLORS`.
        row: Row of its cell, 0 at the top.
        column: Column of its cell, 0 at the left.

    Raises:
        ValueError: For a shape, color or cell that the world does not have.
    """

    shape: str
    color: str
    row: int
    column: int

    def __post_init__(self) -> None:
        """Raise on what the world does not have."""
        if self.shape not in SHAPES:
            raise ValueError(f"shape {self.shape!r}: expected one of {', '.join(SHAPES)}")
        if self.color not in COLORS:
            raise ValueError(f"color {self.color!r}: expected one of {', '.join(COLORS)}")
        if (self.row, self.column) not in CELLS:
            raise ValueError(
                f"cell ({self.row}, {self.column}): expected row and column in 0..{GRID_SIZE - 1}"
            )

    @property
    def cell_name(self) -> str:
        """Name of its cell, such as "top left"."""
        return CELL_NAMES[self.row][self.column]


@dataclass(frozen=True)
class Scene:
    """The content of one image: objects in distinct cells on a plain background.

    Objects are kept in reading order, so that two scenes with the same content are equal.

    Args:
        objects: The objects, in any order.
        background: One of `BACKGROUNDS`.

    Raises:
        ValueError: For an unknown background or two objects in one cell.
    """

    objects: tuple[SceneObject, ...]
    background: str

    def __post_init__(self) -> None:
        """Put the objects into reading order; raise on shared cells."""
        if self.background not in BACKGROUNDS:
            raise ValueError(
                f"background {self.background!r}: expected one of {', '.join(BACKGROUNDS)}"
            )
        if len({(item.row, item.column) for item in self.objects}) != len(self.objects):
            raise ValueError("two objects share a cell: expected distinct cells")
        in_reading_order = sorted(self.objects, key=lambda item: (item.row, item.column))
        object.__setattr__(self, "objects", tuple(in_reading_order))
