"""Masks: white where an image is to be regenerated."""

from pathlib import Path

from PIL import Image
from torch import Tensor

from ..errors import BadSample
from .images import check_image, cut_square, decode_image
from .transparency import is_opaque


def read_mask(path: Path) -> Image.Image:
    """Read a whole mask image; see `gray_mask`.

    Raises:
        BadSample: If it cannot be read, see `load_image`, or has transparent parts.
    """
    return decode_image(path, lambda image: gray_mask(image, str(path)))


def gray_mask(mask: Image.Image, name: str) -> Image.Image:
    """A mask in gray, in its own size.

    Raises:
        BadSample: If it is not an image that can be read, or has transparent parts, which could
            stand for black or for white.
    """
    check_image(mask, name)
    if not is_opaque(mask):
        raise BadSample(
            f"{name} has transparent parts; expected a mask that is white where the image is to be "
            "regenerated and black elsewhere, save it without transparency"
        )
    return mask.convert("L")


def square_mask(mask: Image.Image, resolution: int) -> Tensor:
    """Cut the same square out of a gray mask as `square_pixels` out of its image.

    Returns:
        Brightness `(resolution, resolution)`, float32 in `[0, 1]`.
    """
    return cut_square(mask, resolution)[0] / 255.0
