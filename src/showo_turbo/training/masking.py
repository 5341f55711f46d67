"""Random masks for learning to denoise image tokens."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..sampling.mask_schedules import MaskSchedule, masked_share


def mask_codes(
    codes: Tensor, mask_code: int, seeds: Sequence[int], schedule: MaskSchedule = "cosine"
) -> Tensor:
    """Mask a random share of each sample's codes, the share itself drawn through the schedule.

    Args:
        codes: `(batch, image_tokens)`.
        mask_code: What masked codes become.
        seeds: One a sample: share and positions depend on nothing else.
        schedule: A progress r uniform in [0, 1) masks `schedule(r)` of the tokens, at least one.

    Returns:
        `(batch, image_tokens)`.

    Source: MaskGIT (arXiv 2202.04200), section 3.1.
    """
    image_tokens = codes.shape[1]
    masked = torch.zeros(codes.shape, dtype=torch.bool)
    for row, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed)
        share = masked_share(float(torch.rand((), generator=generator)), schedule)
        count = max(1, round(share * image_tokens))
        masked[row, torch.randperm(image_tokens, generator=generator)[:count]] = True
    return codes.masked_fill(masked.to(codes.device), mask_code)
