"""Image files to tensors, and back."""

import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional

from ..errors import BadSample, UserError, shown
from ..models.image_input import Crop
from ..utils.images import to_bytes
from .bad_samples import Skip, refuse
from .transparency import BACKGROUND, to_rgb

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What is read. Pillow knows more, and would start other programs for some of it (EPS)."""

ANIMATED = ("GIF", "PNG", "WEBP", "TIFF")
"""Where further frames are as good as the first. Those of a camera's JPEG are previews."""

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr")
"""Kinds of pixels that become RGB without a choice: 8 bits a channel, and no ink."""

MAX_PIXELS = 64_000_000
"""Larger images are refused before they are decoded: a small file can unfold to gigabytes."""

MIN_SIDE = 8
"""Smaller images show nothing."""

MAX_STRETCH = 32
"""Longer strips are refused: their shorter side is resized, and the longer one grows with it."""


def image_endings() -> set[str]:
    """How the names of image files end, in lower case, those of `FORMATS`."""
    Image.init()
    return {end for end, name in Image.registered_extensions().items() if name in FORMATS}


def image_path(folder: Path, name: str, where: str) -> Path:
    """The path of an image that an annotation file names.

    Links that the user placed in `folder` are followed; a name cannot climb out of it.

    Args:
        folder: The folder that the names of the annotation file start from.
        name: A relative path with forward slashes.
        where: What names it, for the message.

    Raises:
        BadSample: If the name is absolute, contains `..`, or is none.
    """
    parts = PurePosixPath(name)
    if not parts.parts or parts.is_absolute() or ".." in parts.parts or "\0" in name:
        raise BadSample(
            f"{where} has the image {shown(name)}; expected a relative path inside {folder}, "
            "correct or remove it"
        )
    return Path(folder, parts)


def load_image(
    path: Path, resolution: int, background: str = BACKGROUND, crop: Crop = "nearest"
) -> Tensor:
    """Read an image as a square; see `square_pixels`.

    Args:
        path: A file in one of `FORMATS`; turned as its EXIF says.
        resolution: Side length in pixels.
        background: Color that shows through transparent parts; see `to_rgb`.
        crop: See `square_pixels`.

    Returns:
        Pixels `(3, resolution, resolution)`, float32 in `[-1, 1]`.

    Raises:
        BadSample: If the file is missing, no image, damaged, or `check_image` rejects it. What
            never ends, such as a link to a device, is not opened.
    """
    return square_pixels(read_image(path, background), resolution, crop=crop)


def read_image(path: Path, background: str = BACKGROUND) -> Image.Image:
    """Read a whole image as RGB; see `load_image`.

    Raises:
        BadSample: See `load_image`.
    """
    return decode_image(path, lambda image: to_rgb(image, background, str(path)))


def square_pixels(
    image: Image.Image,
    resolution: int,
    background: str = BACKGROUND,
    name: str = "the image",
    crop: Crop = "nearest",
) -> Tensor:
    """Cut a square out of an image.

    The shorter side is resized (bicubic) to `resolution` and the center is cropped. An image that
    is `resolution` x `resolution` already passes unchanged.

    Args:
        image: Converted to RGB; see `to_rgb`.
        resolution: Side length in pixels.
        background: Color that shows through transparent parts.
        name: What the image is called in messages.
        crop: Where the square begins if an odd number of rows or columns is cropped: at the
            `nearest` even half, as torchvision crops for image tokenizers, or at the `floor`, as
            transformers does for CLIP. They differ by a pixel for a quarter of all sizes.

    Returns:
        Pixels `(3, resolution, resolution)`, float32 in `[-1, 1]`.

    Raises:
        UserError: If `check_image` rejects it.
    """
    check_image(image, name)
    return cut_square(to_rgb(image, background, name), resolution, crop) / 127.5 - 1.0


def cut_square(image: Image.Image, resolution: int, crop: Crop = "nearest") -> Tensor:
    """Levels `(channels, resolution, resolution)`, float32 from 0 to 255; see `square_pixels`."""
    if image.size != (resolution, resolution):
        image = functional.resize(
            image, [resolution], interpolation=functional.InterpolationMode.BICUBIC
        )
        image = _center(image, resolution, crop)
    levels: Tensor = functional.pil_to_tensor(image)
    return levels.to(torch.float32)


def _center(image: Image.Image, side: int, crop: Crop) -> Image.Image:
    if crop == "nearest":
        center: Image.Image = functional.center_crop(image, [side, side])
        return center
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def check_image(image: Image.Image, name: str) -> None:
    """Raise if an image is too large, too small, or not plain RGB or gray.

    What is refused could be converted, but only with a loss: of depth (16 bits a channel), of the
    right colors (CMYK, which needs the printer's profile), or of frames. That is not done silently.

    Args:
        image: Opened; it need not be decoded.
        name: What it is called in the message.

    Raises:
        BadSample: Naming the value, what is expected and what to do.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        fault = f"{width} x {height} pixels; expected at most {MAX_PIXELS:,}, make it smaller"
    elif min(width, height) < MIN_SIDE:
        fault = f"{width} x {height} pixels; expected at least {MIN_SIDE} a side, replace it"
    elif max(width, height) > MAX_STRETCH * min(width, height):
        fault = (
            f"{width} x {height} pixels; expected sides that differ at most {MAX_STRETCH}-fold, "
            "crop it"
        )
    elif image.format in ANIMATED and getattr(image, "is_animated", False):
        fault = f"several frames ({image.format}); expected a single one, save one of them"
    elif image.mode not in MODES:
        fault = f"pixels of kind {image.mode}; expected RGB or gray with 8 bits, convert it"
    else:
        return
    raise BadSample(f"{name} has {fault} or remove it")


def encode_images(
    paths: Sequence[Path],
    resolution: int,
    encode: Callable[[Tensor], Tensor],
    skip: Skip = refuse,
    background: str = BACKGROUND,
    crop: Crop = "nearest",
) -> dict[Path, Tensor]:
    """Read images and encode them as one batch.

    Args:
        paths: Distinct files.
        resolution: Side length in pixels.
        encode: Turns pixels `(images, 3, resolution, resolution)` into what a model is given of the
            images: codes or features, see `ImageInput`.
        skip: Leaves out a bad image, or raises.
        background: Color that shows through transparent parts.
        crop: See `square_pixels`.

    Returns:
        What was made of every image that was not left out, on the CPU.

    Raises:
        UserError: If an image is bad and must not be left out.
    """
    pixels: dict[Path, Tensor] = {}
    for path in paths:
        try:
            pixels[path] = load_image(path, resolution, background, crop)
        except BadSample as error:
            skip(error)
    if not pixels:
        return {}
    encoded = encode(torch.stack(list(pixels.values()))).cpu()
    return dict(zip(pixels, encoded, strict=True))


def to_images(pixels: Tensor) -> list[Image.Image]:
    """Turn pixels `(batch, 3, height, width)` in `[-1, 1]` into RGB images."""
    return [Image.fromarray(image) for image in to_bytes(pixels)]


def decode_image(path: Path, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Read an image file, turned as its EXIF says, and convert it, where damage shows.

    Raises:
        BadSample: See `load_image`.
    """
    return _decode(path, str(path), convert)


def decode_bytes(content: bytes, name: str, background: str = BACKGROUND) -> Image.Image:
    """Read the content of an image file as RGB; see `load_image`.

    Args:
        content: The file's bytes.
        name: What the image is called in messages.
        background: Color that shows through transparent parts.

    Raises:
        BadSample: See `load_image`.
    """
    return _decode(io.BytesIO(content), name, lambda image: to_rgb(image, background, name))


def _decode(
    source: Path | io.BytesIO, name: str, convert: Callable[[Image.Image], Image.Image]
) -> Image.Image:
    try:
        if isinstance(source, Path) and source.exists() and not source.is_file():
            raise BadSample(
                f"{name} is not a file, but a folder, a pipe or a device; expected an image, "
                "remove it"
            )
        with warnings.catch_warnings():
            # Pillow warns about large images; the limit here is stricter. What else it warns about
            # is damaged metadata, which the pixels can do without.
            warnings.simplefilter("ignore")
            with Image.open(source, formats=FORMATS) as image:
                check_image(image, name)
                return convert(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise BadSample(
            f"{name} does not exist; expected an image, check the image folder"
        ) from None
    except UserError:
        raise
    except Image.DecompressionBombError:  # Pillow's own limit, which comes before ours
        raise BadSample(
            f"{name} has far too many pixels; expected at most {MAX_PIXELS:,}, make it "
            "smaller or remove it"
        ) from None
    # Pillow's decoders raise errors of many kinds on damaged files.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise BadSample(
            f"{name} cannot be read as an image ({reason}); expected {', '.join(FORMATS)}, "
            "replace or remove it"
        ) from None
