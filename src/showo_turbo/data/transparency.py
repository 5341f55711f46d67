"""Transparent images become opaque on a stated background."""

import logging
import mmap

from PIL import Image, ImageColor
from torch import distributed

from ..errors import UserError, shown

logger = logging.getLogger(__name__)

BACKGROUND = "white"
"""What shows through where no other color is named."""

_OPAQUE = 255
_said = mmap.mmap(-1, 1)  # shared with the loader's processes, which are forked from this one


def check_background(background: str) -> None:
    """Raise if a background is not an opaque color.

    Raises:
        UserError: Naming it.
    """
    try:
        opaque = len(ImageColor.getrgb(background)) == len("RGB")
    except (ValueError, AttributeError):
        opaque = False
    if not opaque:
        raise UserError(
            f"background is {shown(background)}; expected an opaque color such as 'white' or "
            "'#808080', name one"
        )


def to_rgb(
    image: Image.Image, background: str = BACKGROUND, name: str = "the image"
) -> Image.Image:
    """Turn an image into RGB, what lies under its transparent parts being the background.

    Colors are composited in the image's own values, without regard to gamma, as browsers do. The
    first image that this changes is reported in the log, by the first process of a run.

    Args:
        image: With or without transparency, of a palette, gray or color.
        background: A color that Pillow knows, by its name or as `#rrggbb`.
        name: What the image is called in the log.

    Raises:
        UserError: If there is no such color.
    """
    if is_opaque(image):
        return image.convert("RGB")
    check_background(background)
    _say_once(background, name)
    opaque = Image.new("RGBA", image.size, background)
    opaque.alpha_composite(image.convert("RGBA"))
    return opaque.convert("RGB")


def is_opaque(image: Image.Image) -> bool:
    """Whether no part of an image is transparent, as is that of images with an unused channel."""
    if not image.has_transparency_data:
        return True
    return image.convert("RGBA").getchannel("A").getextrema()[0] == _OPAQUE


def _say_once(background: str, name: str) -> None:
    another = distributed.is_available() and distributed.is_initialized() and distributed.get_rank()
    if another or _said[0]:
        return
    _said[0] = 1
    logger.warning(
        "%s has transparent parts; these and those of others become %s, or what background names",
        name,
        background,
    )
