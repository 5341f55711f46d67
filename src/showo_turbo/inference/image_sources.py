"""Images that a user gives: files, or images of Pillow."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..data.clips import ClipSource
from ..data.images import check_image, read_image

ImageSource = str | Path | Image.Image
"""An image file, or an image."""

AskedSource = ImageSource | ClipSource
"""What a model is asked about: an image or, of a model of clips, a clip."""


def name_of(source: ImageSource, kind: str, index: int) -> str:
    """What an image is called in messages: its file, or its number."""
    return f"{kind} {index + 1}" if isinstance(source, Image.Image) else str(source)


def size_of(source: ImageSource, name: str, background: str) -> tuple[int, int]:
    """Width and height of an image, which is read as a whole.

    Args:
        source: The image.
        name: What it is called in messages.
        background: Color that shows through transparent parts.

    Raises:
        UserError: If it cannot be read.
    """
    if isinstance(source, Image.Image):
        check_image(source, name)
        return source.size
    return read_image(Path(source), background).size


def check_images(images: Sequence[ImageSource], background: str) -> None:
    """Raise if one of some images cannot be read.

    Args:
        images: The images; one that comes several times is read once.
        background: Color that shows through transparent parts.

    Raises:
        UserError: Naming it.
    """
    distinct = {id(image): (image, index) for index, image in reversed([*enumerate(images)])}
    for image, index in reversed(distinct.values()):
        size_of(image, name_of(image, "image", index), background)
