"""Averaging a loss over the counted positions of each sample, then over the samples."""

from typing import NamedTuple

import torch
from torch import Tensor


class LossValue(NamedTuple):
    """A loss term with what logging by segment needs.

    Attributes:
        mean: `()`, the mean of `per_sample` over the samples that have counted positions; 0, with
            a gradient of zeros, if none has. This is what is trained on.
        per_sample: `(batch,)`, the mean over each sample's counted positions; 0 where it has none.
        counted: `(batch,)` integers, the number of counted positions.
    """

    mean: Tensor
    per_sample: Tensor
    counted: Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Widen half precision to float32 and leave wider types alone.

    A log-softmax over a codebook of thousands loses the tail in bfloat16.
    """
    return values if values.dtype == torch.float64 else values.float()


def check_mask(mask: Tensor, logits: Tensor) -> None:
    """Raise if a mask is not boolean or does not cover every position of the logits.

    Raises:
        ValueError: If `mask` is not boolean of shape `logits.shape[:2]`.
    """
    if mask.dtype != torch.bool or mask.shape != logits.shape[:-1]:
        raise ValueError(
            f"mask is {mask.dtype} of shape {tuple(mask.shape)}; "
            f"expected torch.bool of shape {tuple(logits.shape[:-1])}"
        )


def mean_over_samples(losses: Tensor, mask: Tensor) -> LossValue:
    """Average each sample's losses, then average the samples, so that each weighs the same.

    Args:
        losses: `(positions,)`, the losses at the positions where `mask` holds, in the order of
            `tensor[mask]`. Positions that do not count are never computed, so that no infinity at
            one of them can turn a gradient into NaN.
        mask: `(batch, tokens)` boolean, the counted positions.
    """
    counted = mask.sum(dim=1)
    by_position = losses.new_zeros(mask.shape).masked_scatter(mask, losses)
    per_sample = by_position.sum(dim=1) / counted.clamp_min(1)
    mean = per_sample.sum() / (counted > 0).sum().clamp_min(1)
    return LossValue(mean, per_sample, counted)
