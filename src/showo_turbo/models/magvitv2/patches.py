"""Cutting images into patches and joining them again."""

import torch
from torch import Tensor


def split_patches(images: Tensor, size: int) -> Tensor:
    """Cut `(batch, channels, height, width)` into `(batch * patches, channels, size, size)`.

    Patches are in raster order; height and width must be multiples of `size`. Clips `(batch,
    channels, frames, height, width)` become clips of a patch.
    """
    shape = images.shape[1:-2]
    images = images.flatten(1, -3)
    batch, channels, height, width = images.shape
    rows, columns = height // size, width // size
    patches = images.reshape(batch, channels, rows, size, columns, size)
    patches = patches.permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(batch * rows * columns, *shape, size, size)


def join_patches(patches: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Undo `split_patches` for images or clips of `grid = (rows, columns)` patches."""
    rows, columns = grid
    shape = patches.shape[1:-2]
    patches = patches.flatten(1, -3)
    _, channels, size, _ = patches.shape
    images = patches.reshape(-1, rows, columns, channels, size, size)
    images = images.permute(0, 3, 1, 4, 2, 5)
    return images.reshape(-1, *shape, rows * size, columns * size)


def find_distinct(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct patches, and for each of `(patches, ...)` its place among them.

    Most patches of a drawing are alike. A network that treats patches one by one needs to see only
    the distinct ones: `network(distinct)[place]` is its result for all of them, with the same
    gradient for its weights. The patches themselves get no gradient.
    """
    distinct, place = torch.unique(patches.detach(), dim=0, return_inverse=True)
    return distinct, place
