"""What a model is given of an image that it is asked about: codes, or continuous features."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import UserError

ImageInputKind = Literal["codes", "clip", "latents"]
"""Codes of the image tokenizer; features of CLIP's vision transformer; or the image tokenizer's
latents before they are quantized (options a, c and b of Show-o, arXiv 2408.12528, section 4)."""

Crop = Literal["nearest", "floor"]
"""Where the center of an image is cut out if the rest is odd; see `data.images.square_pixels`."""


@dataclass(frozen=True)
class ImageInput:
    """How images are given to a model that is asked about them.

    Wherever images are handed on (to decoding, in requests, records and batches) they are one
    tensor whose rows are images: codes `(rows, tokens)`, whole numbers, or features
    `(rows, tokens, width)`, floating-point numbers. Only the model and its `ImageEncoder` need to
    know which.

    Attributes:
        kind: What the images are encoded as.
        tokens: Tokens an image.
        codebook_size: Codes of the image tokenizer.
        width: Numbers of each token's feature; 0 for codes.
    """

    kind: ImageInputKind
    tokens: int
    codebook_size: int
    width: int = 0

    @property
    def continuous(self) -> bool:
        """Whether images are features."""
        return self.kind != "codes"

    def check_shape(self, images: Tensor) -> None:
        """Raise on images that were encoded for another kind of model; looks at no values.

        Raises:
            UserError: Naming what was given and what was expected.
        """
        if fault := self.misfit(images[0] if len(images) else images):
            raise UserError(f"an image is given as {fault}; encode it with this model's encoder")

    def misfit(self, image: Tensor) -> str | None:
        """What is wrong with one image's type and shape, and what was expected, if anything is."""
        if self.continuous:
            expected = (self.tokens, self.width)
            if not image.is_floating_point() or image.shape != expected:
                return f"{_described(image)}; expected features of shape {expected}"
        elif image.is_floating_point():
            return f"{_described(image)}; expected codes"
        return None

    def check(self, images: Tensor, rows: int) -> None:
        """Raise on images that do not go with so many prompts, or that the model cannot read.

        Args:
            images: The images.
            rows: Number of prompts.

        Raises:
            UserError: Naming the value, what was expected and the remedy.
        """
        if len(images) != rows:
            raise UserError(
                f"there are {len(images)} images for {rows} prompts; give one for each prompt"
            )
        self.check_shape(images)
        if self.continuous:
            return
        outside = images[(images < 0) | (images >= self.codebook_size)]
        if outside.numel():
            raise UserError(
                f"image code {int(outside[0])} lies outside of the codebook "
                f"0..{self.codebook_size - 1}; encode the image with the image tokenizer of this "
                "model"
            )


class ImageEncoder(nn.Module, ABC):
    """A frozen network that encodes the images that a model is asked about.

    Attributes:
        resolution: Side length in pixels of the squares that it takes; None if it is that of the
            images that the model generates.
        crop: Where squares are cut out of images, see `showo_turbo.data.images.square_pixels`. The
            streams of DataModules, which do not know the model, cut the `nearest` way.
    """

    resolution: int | None = None
    crop: Crop = "nearest"

    @abstractmethod
    def encode(self, pixels: Tensor) -> Tensor:
        """Images as a model is given them; see `ImageInput`.

        Args:
            pixels: `(batch, 3, height, width)` in `[-1, 1]`.
        """


def compact(images: Tensor) -> Tensor:
    """Images as they are kept: features in half precision, codes as they are."""
    return images.to(torch.float16) if images.is_floating_point() else images


def _described(image: Tensor) -> str:
    kind = "features" if image.is_floating_point() else "codes"
    return f"{kind} of shape {tuple(image.shape)}"
