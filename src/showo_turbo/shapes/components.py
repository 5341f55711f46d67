"""Connected components of many small images at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Components:
    """Connected components of many images, one entry each.

    Args:
        image: Number of its image, `(components,)`.
        area: Pixels, `(components,)`.
        corner: Top and left of its bounding box, `(components, 2)`.
        color_counts: Pixels of each color, `(components, colors)`.
        crops: Its mask from `margin` pixels above and left of the corner,
            `(components, crop_size, crop_size)`.
    """

    image: NDArray[np.int64]
    area: NDArray[np.int64]
    corner: NDArray[np.int64]
    color_counts: NDArray[np.int64]
    crops: NDArray[np.float32]


def find_components(
    colors: NDArray[np.int64],
    foreground: NDArray[np.bool_],
    color_count: int,
    crop_size: int,
    margin: int,
) -> Components:
    """Find the components of the foreground; pixels that touch at a corner are connected.

    Args:
        colors: Color index of each pixel, `(images, height, width)`.
        foreground: Which pixels belong to components, `(images, height, width)`.
        color_count: Number of colors.
        crop_size: Pixels per side of the masks; what lies outside is left out of the mask.
        margin: Pixels of the mask above and left of the component.
    """
    labels = label_components(foreground)
    image, y, x = np.nonzero(foreground)
    _, member_of, area = np.unique(labels[foreground], return_inverse=True, return_counts=True)
    count = len(area)
    image_of = np.zeros(count, dtype=np.int64)
    image_of[member_of] = image
    corner = np.full((count, 2), max(foreground.shape), dtype=np.int64)
    np.minimum.at(corner, member_of, np.stack([y, x], 1))
    color_counts = np.bincount(
        member_of * color_count + colors[foreground], minlength=count * color_count
    ).reshape(count, color_count)
    crops = np.zeros((count, crop_size, crop_size), dtype=np.float32)
    crop_y = y - corner[member_of, 0] + margin
    crop_x = x - corner[member_of, 1] + margin
    inside = (crop_y < crop_size) & (crop_x < crop_size)
    crops[member_of[inside], crop_y[inside], crop_x[inside]] = 1
    return Components(image_of, area, corner, color_counts, crops)


def label_components(foreground: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Label every foreground pixel with the largest pixel number of its component.

    Labels spread to all eight neighbors of all images at once until none changes.
    """
    numbers = np.arange(1, foreground.size + 1, dtype=np.int64).reshape(foreground.shape)
    labels = np.where(foreground, numbers, 0)
    while True:
        spread = labels.copy()
        for axis in (1, 2):
            padded = np.pad(spread, [(1, 1) if each == axis else (0, 0) for each in range(3)])
            size = foreground.shape[axis]
            shifted = [padded.take(range(step, step + size), axis) for step in range(3)]
            spread = np.maximum.reduce(shifted)
        spread[~foreground] = 0
        if np.array_equal(spread, labels):
            return labels
        labels = spread
