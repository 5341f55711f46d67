"""Images of which a part is regenerated."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..data.images import to_images
from ..data.masks import gray_mask, read_mask, square_mask
from ..errors import UserError
from ..sampling.image_sampling import ImageSampling
from ..sampling.inpainting import (
    MaskReading,
    check_masked,
    inpaint_codes,
    masked_tokens,
    paste_kept,
)
from ..sampling.options import check_choice
from .drawing import Checked, Prompts, forwards_of
from .image_sources import ImageSource, name_of, size_of
from .loaded_model import LoadedModel
from .results import GeneratedImages, Statistics


@dataclass(frozen=True)
class Inpainting:
    """Images of which the part that a mask shows in white is regenerated.

    Args:
        images: Files or Pillow images.
        masks: One an image, as large as it is.
        prompts: One an image: what the whole image is to show.
        mask_reading: When a token counts as masked; see `masked_tokens`.
        paste: Whether to put back the original's pixels where no token was masked; see
            `paste_kept`.
    """

    images: Sequence[ImageSource]
    masks: Sequence[ImageSource]
    prompts: Prompts
    mask_reading: MaskReading = "any"
    paste: bool = False

    def __len__(self) -> int:
        return len(self.images)

    def prepare(self, model: LoadedModel, sampling: ImageSampling) -> Checked[GeneratedImages]:
        """Check prompts, images and masks, all of which are read; see `DrawingTask`."""
        check_choice(MaskReading, mask_reading=self.mask_reading)
        ids = self.prompts.encode(model, sampling)
        every_mask = torch.stack([self._read_mask(model, i) for i in range(len(self))])

        def draw(indices: Sequence[int], seeds: Sequence[int]) -> GeneratedImages:
            own = ids.of(indices)
            original = model.square_images([self.images[i] for i in indices])
            before = model.image_tokenizer.encode(original)
            masked = every_mask[list(indices)].to(before.device)
            codes, seconds = model.timed(
                lambda: inpaint_codes(
                    model.network, own.ids, before, masked, sampling, seeds, own.negative
                )
            )
            pixels = model.decode_images(model.as_grids(codes))
            if self.paste:
                pixels = paste_kept(pixels, original, model.as_grids(masked))
            forwards = len(indices) * forwards_of(sampling, 1)
            return GeneratedImages(
                images=to_images(pixels),
                codes=codes.cpu(),
                seeds=list(seeds),
                statistics=Statistics(len(indices), int(masked.sum()), forwards, seconds),
            )

        return Checked(ids.longest, draw)

    def _read_mask(self, model: LoadedModel, index: int) -> Tensor:
        """`(image_tokens,)` bool, what an image's mask masks; the image is read, too."""
        image, mask = self.images[index], self.masks[index]
        name, its_image = name_of(mask, "mask", index), name_of(image, "image", index)
        width, height = size_of(image, its_image, model.background)
        gray = gray_mask(mask, name) if isinstance(mask, Image.Image) else read_mask(Path(mask))
        if gray.size != (width, height):
            raise UserError(
                f"{name} has {gray.width} x {gray.height} pixels, but {its_image} has {width} x "
                f"{height}; expected the same size, so that both are cut alike: resize one of them"
            )
        pixels = square_mask(gray, model.resolution)
        masked = masked_tokens(pixels, model.grid_side, self.mask_reading)
        check_masked(masked, name)
        return masked
