"""Image files to tensors, and back."""

import warnings
from pathlib import Path, PurePosixPath

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional

from ..errors import UserError

MAX_PIXELS = 64_000_000
"""Larger images are refused before they are decoded: a small file can unfold to gigabytes."""


def image_path(folder: Path, name: str) -> Path:
    """The path of an image that an annotation file names.

    Links that the user placed in `folder` are followed; a name cannot climb out of it.

    Args:
        folder: The folder that the names of the annotation file start from.
        name: A relative path with forward slashes.

    Raises:
        UserError: If the name is absolute or contains `..`.
    """
    parts = PurePosixPath(name)
    if not name or parts.is_absolute() or ".." in parts.parts:
        raise UserError(
            f"image {name!r} is no relative path inside {folder}; correct it in the annotations"
        )
    return Path(folder, parts)


def load_image(path: Path, resolution: int) -> Tensor:
    """Read an image as a square; see `square_pixels`.

    Args:
        path: A file in any format that Pillow reads; turned as its EXIF says.
        resolution: Side length in pixels.

    Returns:
        Pixels `(3, resolution, resolution)`, float32 in `[-1, 1]`.

    Raises:
        UserError: If the file is missing, no image, damaged, or has more than `MAX_PIXELS` pixels.
    """
    return square_pixels(_decode(path), resolution)


def square_pixels(image: Image.Image, resolution: int) -> Tensor:
    """Cut a square out of an image.

    The shorter side is resized (bicubic) to `resolution` and the center is cropped. An image that
    is `resolution` x `resolution` already passes unchanged.

    Args:
        image: Converted to RGB.
        resolution: Side length in pixels.

    Returns:
        Pixels `(3, resolution, resolution)`, float32 in `[-1, 1]`.
    """
    image = image.convert("RGB")
    if image.size != (resolution, resolution):
        image = functional.resize(
            image, [resolution], interpolation=functional.InterpolationMode.BICUBIC
        )
        image = functional.center_crop(image, [resolution, resolution])
    pixels: Tensor = functional.pil_to_tensor(image)
    return pixels.to(torch.float32) / 127.5 - 1.0


def to_images(pixels: Tensor) -> list[Image.Image]:
    """Turn pixels `(batch, 3, height, width)` in `[-1, 1]` into RGB images."""
    levels = ((pixels.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return [functional.to_pil_image(image) for image in levels.cpu()]


def _decode(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Pillow warns about large images; the limit below is stricter.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise UserError(
                        f"{path} has {image.width} x {image.height} pixels; expected at most "
                        f"{MAX_PIXELS:,}, make it smaller or remove it"
                    )
                return ImageOps.exif_transpose(image).convert("RGB")
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist; expected an image, check the image folder"
        ) from None
    except UserError:
        raise
    # Pillow's decoders raise errors of many kinds on damaged files.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path} cannot be read as an image ({reason}); replace or remove it"
        ) from None
