from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from showo_turbo.errors import UserError
from showo_turbo.sampling.windows import Growth, Window, plan_growth

DIRECTIONS = ["left", "right", "up", "down"]


@pytest.mark.parametrize(
    ("direction", "rows", "columns", "row", "column", "window"),
    [
        ("left", 8, 12, 0, 4, Window(0, 0, 0)),
        ("right", 8, 12, 0, 0, Window(0, 4, 0)),
        ("up", 12, 8, 4, 0, Window(0, 0, 0)),
        ("down", 12, 8, 0, 0, Window(4, 0, 0)),
    ],
)
def test_one_direction(direction, rows, columns, row, column, window):
    assert plan_growth(8, [direction]) == Growth(8, rows, columns, row, column, (window,))


@pytest.mark.parametrize(
    ("side", "offset", "columns"),
    [(8, 1, 13), (8, -1, 11), (8, 3, 15), (8, -3, 9), (6, -1, 8), (5, 0, 8), (5, 1, 9), (2, 0, 3)],
)
def test_offsets_and_odd_sides(side, offset, columns):
    """What is kept is half of the side, rounded down, less the offset."""
    assert plan_growth(side, ["right"], offset).columns == columns


def test_the_shapes_canvas_of_three_by_six_cells():
    """6 x 6 tokens grow to 12 columns in three windows that begin at cells of 2 tokens."""
    growth = plan_growth(6, ["right"] * 3, -1)
    assert (growth.rows, growth.columns) == (6, 12)
    assert [window.column for window in growth.windows] == [2, 4, 6]


def test_orthogonal_growth_goes_along_the_edge():
    """Half a window at a time; the last one is flush with the end."""
    growth = plan_growth(8, ["left", "up"], 1)  # 8 x 13, then 5 rows on top of it
    assert (growth.rows, growth.columns, growth.row, growth.column) == (13, 13, 5, 5)
    first, *strip = growth.windows
    assert first == Window(5, 0, 0)
    assert strip == [Window(0, 0, 1), Window(0, 4, 1), Window(0, 5, 1)]


@given(st.integers(2, 9), st.lists(st.sampled_from(DIRECTIONS), min_size=1, max_size=5), st.data())
def test_windows_fill_the_grid(side, directions, data):
    """Every window has something to go by and something to draw; in the end nothing is missing."""
    offset = data.draw(st.integers(side // 2 - side + 1, side // 2 - 1))
    growth = plan_growth(side, directions, offset)
    new = side - (side // 2 - offset)
    sideways = sum(direction in ("left", "right") for direction in directions)
    assert growth.columns == side + new * sideways
    assert growth.rows == side + new * (len(directions) - sideways)
    assert growth.column == new * directions.count("left")
    assert growth.row == new * directions.count("up")
    known = torch.zeros(growth.rows, growth.columns, dtype=torch.bool)
    growth.square(known, growth.row, growth.column).fill_(True)
    for window in growth.windows:
        square = growth.square(known, window.row, window.column)
        assert square.shape == (side, side)
        assert square.any() and not square.all()
        square.fill_(True)
    assert known.all()
    turns = [window.direction for window in growth.windows]
    assert turns == sorted(turns) and set(turns) == set(range(len(directions)))
    for before, after in pairwise(growth.windows):
        if before.direction == after.direction:
            moved = after.row - before.row + after.column - before.column
            assert 0 < moved <= max(1, side // 2)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("directions", "offset", "message"),
    [
        ([], 0, "there are no directions; give at least one"),
        (["north"], 0, "direction is 'north'; choose 'left' or 'right' or 'up' or 'down'"),
        (["left"], 4, "offset is 4; choose -3 to 3, so that of the 8 rows or columns"),
        (["left"], -4, "offset is -4; choose -3 to 3"),
        (["left"], 0.5, "offset is 0.5; expected a whole number"),
    ],
)
def test_bad_input(directions, offset, message):
    with pytest.raises(UserError, match=message):
        plan_growth(8, directions, offset)
