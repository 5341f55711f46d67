"""Halton order: the tokens of a grid in an order in which any first ones are spread evenly."""

import math
from typing import TYPE_CHECKING

from ..errors import UserError
from ..models.model_config import ModelConfig, video_frames

if TYPE_CHECKING:
    from torch import Tensor


def halton_order(height: int, width: int) -> "Tensor":
    """In which order the tokens of a grid are revealed.

    Point n = 1, 2, ... of the sequence lies in the row that the radical inverse of n in base 2
    says, and in the column that the one in base 3 says; places that an earlier point has taken are
    passed over.

    Args:
        height: Rows of the grid.
        width: Columns.

    Returns:
        `(height * width,)`, the tokens' places, row by row, in the order of revealing.

    Source: Halton scheduler for MaskGIT (arXiv 2503.17076).
    """
    import torch  # takes a second, which options that are only read need not wait

    places: dict[int, None] = {}
    point = 0
    while len(places) < height * width:
        point += 1
        row, column = _scaled_inverse(point, 2, height), _scaled_inverse(point, 3, width)
        places[row * width + column] = None
    return torch.tensor(list(places))


def orientation_of(seed: int) -> tuple[bool, bool, bool]:
    """How the order of an image is turned: rows and columns mirrored, and both exchanged.

    These are the eight symmetries of a square; seeds that follow one another have different ones.
    """
    return bool(seed & 1), bool(seed & 2), bool(seed & 4)


def oriented_halton_order(side: int, seed: int) -> "Tensor":
    """The Halton order of a square grid, mirrored and turned as the seed says.

    Args:
        side: Rows and columns of the grid.
        seed: Of the image; see `orientation_of`.

    Returns:
        `(side * side,)`, see `halton_order`.
    """
    order = halton_order(side, side)
    rows, columns = order // side, order % side
    mirrored_rows, mirrored_columns, swapped = orientation_of(seed)
    rows = side - 1 - rows if mirrored_rows else rows
    columns = side - 1 - columns if mirrored_columns else columns
    return columns * side + rows if swapped else rows * side + columns


def square_side(config: ModelConfig, reveal_order: str = "halton") -> int:
    """Height and width of the grid that the tokens of an image form, or of a clip's latent frame.

    Raises:
        UserError: If it is not a square.
    """
    image_tokens = config.image_tokens // max(1, video_frames(config))
    side = math.isqrt(image_tokens)
    if side**2 != image_tokens:
        raise UserError(
            f"reveal_order is '{reveal_order}', but {image_tokens} image tokens do not form a "
            "square; choose 'confidence'"
        )
    return side


def _scaled_inverse(number: int, base: int, size: int) -> int:
    """The radical inverse (the digits mirrored at the point) times a size, rounded down."""
    mirrored, denominator = 0, 1
    while number:
        number, digit = divmod(number, base)
        mirrored = mirrored * base + digit
        denominator *= base
    return mirrored * size // denominator
