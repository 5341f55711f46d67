"""Images that are regenerated where a mask says so."""

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from ..errors import UserError
from ..models.protocols import ImageModel
from .image_sampling import ImageSampling
from .parallel import decode_image_codes

MaskReading = Literal["any", "center"]

_MASKED_FROM = 0.5
"""From this brightness on a pixel is masked."""

_SOFT_EDGE = 4
"""What a patch is divided by: half the width of the edge of what is pasted."""


def masked_tokens(mask: Tensor, side: int, reading: MaskReading = "any") -> Tensor:
    """Which tokens a mask image masks.

    Args:
        mask: `(resolution, resolution)` brightness in `[0, 1]`; white is regenerated.
        side: Rows and columns of the tokens; divides the resolution.
        reading: With `any` a token is masked if any pixel of its patch is at least half bright;
            with `center` if the bicubic interpolation at its center is, as in the published code,
            which misses what is small.

    Returns:
        `(side * side,)` bool, row by row.

    Source of `center`: the released inference script of Show-o (github.com/showlab/Show-o).
    """
    if reading == "center":
        values = F.interpolate(mask[None, None], size=(side, side), mode="bicubic")[0, 0]
    else:
        patch = len(mask) // side
        values = mask.reshape(side, patch, side, patch).amax(dim=(1, 3))
    return (values >= _MASKED_FROM).flatten()


def check_masked(masked: Tensor, name: str) -> None:
    """Raise if nothing or everything is masked.

    Args:
        masked: `(image_tokens,)` bool.
        name: What the mask is called in the message.

    Raises:
        UserError: If there is nothing to generate, or nothing to keep.
    """
    if not masked.any():
        raise UserError(
            f"{name} masks none of the {masked.numel()} image tokens; expected white where the "
            "image is to be regenerated, paint some white"
        )
    if masked.all():
        raise UserError(
            f"{name} masks all of the {masked.numel()} image tokens; expected black where the "
            "image is to be kept, paint some black or generate a new image"
        )


def inpaint_codes(
    model: ImageModel,
    prompts: Sequence[Sequence[int]],
    codes: Tensor,
    masked: Tensor,
    sampling: ImageSampling,
    seeds: Sequence[int] | None = None,
    negative_prompts: Sequence[Sequence[int]] | None = None,
) -> Tensor:
    """Regenerate the masked tokens of images; the others stay as they are, bit for bit.

    A kept code next to the mask was encoded with what is behind the mask in view, and may still
    show a trace of it.

    Args:
        model: Network in eval mode.
        prompts: Ids of each sample.
        codes: `(batch, image_tokens)` of the images.
        masked: `(batch, image_tokens)` bool, what to regenerate.
        sampling: Options.
        seeds: One a sample; 0, 1, 2, ... by default.
        negative_prompts: See `denoise_images`.

    Returns:
        Codes `(batch, image_tokens)`; `codes` is left alone.

    Source: Show-o (arXiv 2408.12528) and its released inference script.
    """
    known = codes.masked_fill(masked, model.mask_code)
    return decode_image_codes(model, prompts, sampling, seeds, known, negative_prompts)


def paste_kept(drawn: Tensor, original: Tensor, masked: Tensor) -> Tensor:
    """Put the original's pixels where no token was masked.

    Around the regenerated part the reconstruction fades into the original over half a patch.

    Args:
        drawn: `(batch, 3, height, width)` pixels of the whole image, decoded.
        original: The same of the original.
        masked: `(batch, rows, columns)` bool, tokens that were regenerated.

    Returns:
        Pixels of the same shape: those of `drawn` at masked tokens, and those of `original` from
        half a patch away on, unchanged.
    """
    patch = drawn.shape[-1] // masked.shape[-1]
    inside = masked[:, None].repeat_interleave(patch, 2).repeat_interleave(patch, 3)
    weight = inside.to(drawn)
    if reach := patch // _SOFT_EDGE:
        size = 2 * reach + 1
        wider = F.max_pool2d(weight, size, stride=1, padding=reach)
        weight = F.avg_pool2d(wider, size, stride=1, padding=reach, count_include_pad=False)
    return drawn.where(inside, original + weight * (drawn - original))
