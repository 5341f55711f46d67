"""How a square of codes grows to a larger grid: windows that are generated one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ..errors import UserError
from .options import check_choice, check_whole

Direction = Literal["left", "right", "up", "down"]


@dataclass(frozen=True)
class Window:
    """A square of a grid of codes that is generated at once.

    Attributes:
        row: Its first row in the finished grid.
        column: Its first column.
        direction: Which of the directions it belongs to, from 0.
    """

    row: int
    column: int
    direction: int


@dataclass(frozen=True)
class Growth:
    """How a square of codes grows to a larger grid.

    Attributes:
        side: Rows and columns of the given square, and of every window.
        rows: Rows of the finished grid.
        columns: Its columns.
        row: The first row of the given square in it.
        column: The first column.
        windows: What to generate, in this order. Each holds codes that are known by then, and
            some that are not.
    """

    side: int
    rows: int
    columns: int
    row: int
    column: int
    windows: tuple[Window, ...]

    def square(self, grid: Tensor, row: int, column: int) -> Tensor:
        """The square of a grid `(rows, columns)` that begins at a row and a column, as a view."""
        return grid[row : row + self.side, column : column + self.side]


def plan_growth(side: int, directions: Sequence[Direction], offset: int = 0) -> Growth:
    """Plan how a square of codes grows in some directions, one after the other.

    The generated square keeps `side // 2 - offset` rows or columns at the edge, and adds the
    others. Where the grid is longer than a square, several follow each other along the edge: each
    begins at most half a square after the one before it, and keeps what that one generated.

    Args:
        side: Rows and columns of the given square.
        directions: Where to grow, in this order.
        offset: How many rows or columns fewer than half of them are kept.

    Raises:
        UserError: If there is no direction, one is unknown, or none or all rows would be kept.

    Source: the released inference script of Show-o (github.com/showlab/Show-o) for a single window
    in each direction; there, a grid does not grow upwards once it has grown sideways.
    """
    if not directions:
        raise UserError("there are no directions; give at least one, such as right")
    kept = _kept(side, offset)
    new = side - kept
    top = left = 0
    bottom = right = side
    windows: list[Window] = []
    for index, direction in enumerate(directions):
        check_choice(Direction, direction=direction)
        if direction in ("left", "right"):
            first = left - new if direction == "left" else right - kept
            windows += [Window(row, first, index) for row in _starts(top, bottom, side)]
            left, right = min(left, first), max(right, first + side)
        else:
            first = top - new if direction == "up" else bottom - kept
            windows += [Window(first, column, index) for column in _starts(left, right, side)]
            top, bottom = min(top, first), max(bottom, first + side)
    moved = (Window(w.row - top, w.column - left, w.direction) for w in windows)
    return Growth(side, bottom - top, right - left, -top, -left, tuple(moved))


def _kept(side: int, offset: int) -> int:
    """Rows or columns that a window keeps; at least one, and not all."""
    check_whole(offset=offset)
    kept = side // 2 - offset
    if not 1 <= kept <= side - 1:
        raise UserError(
            f"offset is {offset}; choose {side // 2 - side + 1} to {side // 2 - 1}, so that of the "
            f"{side} rows or columns at least one is kept and at least one is new"
        )
    return kept


def _starts(first: int, stop: int, side: int) -> list[int]:
    """Where windows begin that cover `first .. stop - 1`; the last one is flush with the end."""
    return [*range(first, stop - side, max(1, side // 2)), stop - side]
