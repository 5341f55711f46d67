"""Reads an image of the shapes world back and says whether it satisfies a prompt.

Every pixel is given its nearest palette color, what differs from the background is split into
connected components, and each component must be one color and overlap one shape's mask. An image
that cannot be read this way satisfies no prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .components import Components, find_components
from .prompts import Prompt, find_mismatch
from .render import SHAPE_MASKS
from .scene import (
    BACKGROUND_VALUES,
    BACKGROUNDS,
    CELL_SIZE,
    COLOR_VALUES,
    COLORS,
    IMAGE_SIZE,
    OBJECT_SIZE,
    SHAPES,
    Scene,
    SceneObject,
)

MIN_OVERLAP = 0.8
"""Least intersection over union with a shape's mask; two different shapes reach 0.71 at most."""

MIN_COLOR_SHARE = 0.9
"""Least share of a component's pixels that its most frequent color must have."""

SPECK_PIXELS = 2
"""Components up to this size are the decoder's noise rather than objects..."""

MAX_STRAY_PIXELS = 6
"""...as long as all of them together are no larger than this."""

_PALETTE = np.array([*BACKGROUND_VALUES.values(), *COLOR_VALUES.values()], dtype=np.float32)
_TEMPLATES = np.stack([SHAPE_MASKS[shape].reshape(-1) for shape in SHAPES]).astype(np.float32)
# A shape's mask is tried at up to this many pixels from the corner of a component's bounding box,
# in both directions: a few stray pixels move the box, but not the shape.
_REACH = 3
_OFFSETS = 2 * _REACH + 1
_IMAGES_PER_CHUNK = 512


@dataclass(frozen=True)
class Reading:
    """What an image holds: a scene, or the reason why it cannot be read."""

    scene: Scene | None
    reason: str = ""


@dataclass(frozen=True)
class Located:
    """A shape at any place of an image.

    Attributes:
        shape: One of `SHAPES`.
        color: One of `COLORS`.
        top: Row of its box's first pixel.
        left: Column of its box's first pixel.
    """

    shape: str
    color: str
    top: int
    left: int


@dataclass(frozen=True)
class LocatedReading:
    """What an image holds wherever it is, or the reason why it cannot be read."""

    objects: tuple[Located, ...]
    background: str
    reason: str = ""


@dataclass(frozen=True)
class CheckResult:
    """Whether an image satisfies a prompt; if not, why; and what it holds, if readable."""

    satisfied: bool
    reason: str
    scene: Scene | None


def read_image(pixels: NDArray[np.uint8]) -> Scene | None:
    """Read one image `(24, 24, 3)`; None when it is not a scene of the shapes world."""
    return read_images(pixels[None])[0].scene


def read_images(pixels: NDArray[np.uint8]) -> list[Reading]:
    """Read many images.

    Args:
        pixels: RGB, `(images, 24, 24, 3)`.

    Returns:
        One reading per image.

    Raises:
        ValueError: For another shape or data type.
    """
    if pixels.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE, 3) or pixels.dtype != np.uint8:
        raise ValueError(
            f"pixels are {pixels.dtype} of shape {pixels.shape}: expected uint8 of shape "
            f"(images, {IMAGE_SIZE}, {IMAGE_SIZE}, 3)"
        )
    readings: list[Reading] = []
    for start in range(0, len(pixels), _IMAGES_PER_CHUNK):
        readings += _read_chunk(pixels[start : start + _IMAGES_PER_CHUNK])
    return readings


def check(pixels: NDArray[np.uint8], prompt: Prompt) -> CheckResult:
    """Whether one image `(24, 24, 3)` holds exactly what a prompt says."""
    return check_images(pixels[None], [prompt])[0]


def check_images(pixels: NDArray[np.uint8], prompts: Sequence[Prompt]) -> list[CheckResult]:
    """Whether each image holds exactly what its prompt says.

    Args:
        pixels: RGB, uint8 `(images, 24, 24, 3)`.
        prompts: One per image.

    Returns:
        One result per image.

    Raises:
        ValueError: For pixels of another shape or type, or another number of prompts.
    """
    if len(prompts) != len(pixels):
        raise ValueError(f"{len(prompts)} prompts for {len(pixels)} images: expected one each")
    results = []
    for reading, prompt in zip(read_images(pixels), prompts, strict=True):
        scene, reason = reading.scene, reading.reason
        if scene is not None:
            reason = find_mismatch(scene, prompt)
        results.append(CheckResult(not reason, reason, scene))
    return results


def locate_shapes(pixels: NDArray[np.uint8]) -> list[LocatedReading]:
    """Read images whose shapes lie anywhere, not in cells; see `read_images`.

    Args:
        pixels: RGB, `(images, 24, 24, 3)`.
    """
    colors = _nearest_colors(pixels)
    counts = np.stack([(colors == index).sum((1, 2)) for index in range(len(BACKGROUNDS))], 1)
    backgrounds = counts.argmax(1)
    components = find_components(
        colors,
        colors != backgrounds[:, None, None],
        len(_PALETTE),
        OBJECT_SIZE + 2 * _REACH,
        _REACH,
    )
    overlaps = _overlaps(components)

    problems: list[str] = ["" if total else "no background" for total in counts.max(1)]
    objects: list[list[Located]] = [[] for _ in pixels]
    stray = np.zeros(len(pixels), dtype=np.int64)
    for number, image in enumerate(components.image.tolist()):
        area = int(components.area[number])
        if area <= SPECK_PIXELS:
            stray[image] += area
            if stray[image] > MAX_STRAY_PIXELS:
                problems[image] = problems[image] or "stray pixels"
            continue
        found = _identify(components, number, overlaps[number])
        if isinstance(found, str):
            problems[image] = problems[image] or found
        else:
            objects[image].append(found)
    return [
        LocatedReading(tuple(objects[image]), BACKGROUNDS[int(backgrounds[image])], problem)
        for image, problem in enumerate(problems)
    ]


def _read_chunk(pixels: NDArray[np.uint8]) -> list[Reading]:
    return [_in_cells(located) for located in locate_shapes(pixels)]


def _in_cells(located: LocatedReading) -> Reading:
    """A scene, if every shape is in a cell of its own."""
    if located.reason:
        return Reading(None, located.reason)
    objects = []
    for item in located.objects:
        row, column = ((edge + OBJECT_SIZE // 2) // CELL_SIZE for edge in (item.top, item.left))
        try:
            objects.append(SceneObject(item.shape, item.color, row, column))
        except ValueError:
            return Reading(None, "an object that leaves the image")
    if len({(item.row, item.column) for item in objects}) < len(objects):
        return Reading(None, "two objects in one cell")
    return Reading(Scene(tuple(objects), located.background))


def _nearest_colors(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Index of each pixel's nearest palette color, `(images, height, width)`."""
    values = pixels.astype(np.float32)
    # |value - color|^2 without |value|^2, which is the same for all colors of a pixel.
    distances = (_PALETTE**2).sum(1) - 2 * values @ _PALETTE.T
    nearest: NDArray[np.int64] = distances.argmin(-1)
    return nearest


def _overlaps(components: Components) -> NDArray[np.float32]:
    """Intersection over union with every shape at every offset.

    Returns:
        `(components, offsets, shapes)`, offsets row by row from `-_REACH` to `_REACH`.
    """
    windows = np.lib.stride_tricks.sliding_window_view(
        components.crops, (OBJECT_SIZE, OBJECT_SIZE), axis=(1, 2)
    )
    windows = windows.reshape(len(components.area), _OFFSETS**2, OBJECT_SIZE**2)
    intersection = windows @ _TEMPLATES.T
    union = components.area[:, None, None] + _TEMPLATES.sum(1) - intersection
    overlaps: NDArray[np.float32] = (intersection / union).astype(np.float32)
    return overlaps


def _identify(components: Components, number: int, overlaps: NDArray[np.float32]) -> Located | str:
    """The shape that a component shows, or the reason why it shows none."""
    area = components.area[number]
    color = int(components.color_counts[number].argmax())
    if components.color_counts[number, color] < MIN_COLOR_SHARE * area:
        return "an object of several colors"
    if color < len(BACKGROUNDS):
        return f"a {BACKGROUNDS[color]} object"
    offset, shape = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
    if overlaps[offset, shape] < MIN_OVERLAP:
        return f"an object of {area} pixels that is not a known shape"
    top, left = components.corner[number] - _REACH + np.divmod(int(offset), _OFFSETS)
    return Located(SHAPES[int(shape)], COLORS[color - len(BACKGROUNDS)], int(top), int(left))
