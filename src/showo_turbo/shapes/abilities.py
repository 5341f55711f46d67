"""What became of images of the shapes world that were changed."""

from collections.abc import Hashable, Sequence

from torch import Tensor

from ..evaluation.abilities import AbilityCase
from ..utils.images import to_bytes
from .ability_cases import Truth
from .checker import check_images, read_images
from .scene import CELL_SIZE, IMAGE_SIZE, Scene

_ATTRIBUTES = {"recolor": "color", "change shape": "shape", "change background": "background"}


def cases_satisfied(cases: Sequence[AbilityCase], pixels: Tensor) -> list[bool]:
    """Whether each image has become what its prompts say.

    An image that has grown must satisfy every prompt in its own square of 3 x 3 cells.

    Args:
        cases: All with as many prompts.
        pixels: `(cases, 3, 24, width)` in [-1, 1], wider by one cell for each further prompt.

    Raises:
        ValueError: If the images are wider or narrower.
    """
    truths = [_truth(case) for case in cases]
    squares = len(truths[0].wanted)
    width = IMAGE_SIZE + CELL_SIZE * (squares - 1)
    if pixels.shape[-1] != width:
        raise ValueError(f"images are {pixels.shape[-1]} pixels wide; expected {width}")
    found = [True] * len(cases)
    for number in range(squares):
        left = number * CELL_SIZE
        square = to_bytes(pixels[..., left : left + IMAGE_SIZE])
        results = check_images(square, [truth.wanted[number] for truth in truths])
        found = [ok and result.satisfied for ok, result in zip(found, results, strict=True)]
    return found


def rest_unchanged(cases: Sequence[AbilityCase], pixels: Tensor) -> list[bool]:
    """Whether each edited image shows all as before, apart from what was to be otherwise.

    That is the color or the shape of one object, or the background. All other objects must have
    the shape, color and cell that they had, whether or not the prompt names them, the object that
    changes its cell and its other attribute, and nothing may be added. An image that cannot be read
    has changed.

    Args:
        cases: Of editing.
        pixels: `(cases, 3, 24, 24)` in [-1, 1].
    """
    found = []
    for case, reading in zip(cases, read_images(to_bytes(pixels)), strict=True):
        before = _rest(_truth(case).before, case)
        found.append(reading.scene is not None and _rest(reading.scene, case) == before)
    return found


def _rest(scene: Scene, case: AbilityCase) -> Hashable:
    """All that a scene shows, apart from what was to be otherwise."""
    attribute, cell = _ATTRIBUTES[case.task], _truth(case).cell
    objects = []
    for item in scene.objects:
        place, looks = (item.row, item.column), {"shape": item.shape, "color": item.color}
        if place == cell:
            looks.pop(attribute)
        objects.append((place, tuple(looks.values())))
    return tuple(objects), None if attribute == "background" else scene.background


def _truth(case: AbilityCase) -> Truth:
    truth: Truth = case.truth
    return truth
