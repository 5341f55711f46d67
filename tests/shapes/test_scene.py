from itertools import combinations

import numpy as np
import pytest

from showo_turbo.shapes.render import SHAPE_MASKS, render
from showo_turbo.shapes.scene import BACKGROUND_VALUES, COLOR_VALUES, Scene, SceneObject


def test_colors_stay_apart_under_noise_of_25_per_channel() -> None:
    values = [*COLOR_VALUES.values(), *BACKGROUND_VALUES.values()]
    noise = 25 * np.sqrt(3)
    for one, other in combinations(values, 2):
        assert np.linalg.norm(np.subtract(one, other)) > 2 * noise


def test_a_scene_does_not_depend_on_the_order_of_its_objects() -> None:
    one, other = SceneObject("circle", "red", 2, 0), SceneObject("cross", "blue", 0, 1)
    assert Scene((one, other), "white") == Scene((other, one), "white")
    assert Scene((one, other), "white").objects == (other, one)
    assert one.cell_name == "bottom left"


def test_render_paints_the_mask_inside_its_cell() -> None:
    pixels = render(Scene((SceneObject("triangle", "green", 1, 2),), "black"))
    assert pixels.shape == (24, 24, 3)
    assert pixels.dtype == np.uint8
    painted = (pixels == COLOR_VALUES["green"]).all(-1)
    assert np.array_equal(painted[9:15, 17:23], SHAPE_MASKS["triangle"])
    assert painted.sum() == SHAPE_MASKS["triangle"].sum()
    assert (pixels[~painted] == 0).all()


@pytest.mark.parametrize(
    ("shape", "color", "row", "column", "message"),
    [
        ("star", "red", 0, 0, "shape 'star'"),
        ("circle", "pink", 0, 0, "color 'pink'"),
        ("circle", "red", 3, 0, r"cell \(3, 0\)"),
    ],
)
def test_what_the_world_does_not_have_is_refused(
    shape: str, color: str, row: int, column: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SceneObject(shape, color, row, column)


def test_a_shared_cell_and_an_unknown_background_are_refused() -> None:
    circle = SceneObject("circle", "red", 0, 0)
    with pytest.raises(ValueError, match="share a cell"):
        Scene((circle, SceneObject("cross", "red", 0, 0)), "white")
    with pytest.raises(ValueError, match="background 'gray'"):
        Scene((circle,), "gray")
