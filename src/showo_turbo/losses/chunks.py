"""Losses over vocabularies, a part of the positions at a time, so that few are in float32 at once.

A loss of 3,000 positions over 50,000 tokens keeps 0.6 GB for each float32 tensor that its backward
pass needs, and it needs several. Here it keeps the logits alone, as they are, and computes the rest
again for a part of the positions after the other.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

AT_ONCE = 2**23
"""Numbers of a part's logits: 32 MB in float32. What has fewer is computed as a whole."""

RowLosses = Callable[..., Tensor]
"""Losses `(rows,)` of logits `(rows, classes)` and of further tensors with as many rows."""


def in_chunks(losses_of: RowLosses, logits: Tensor, *others: Tensor) -> Tensor:
    """Return `losses_of(logits, *others)`, computed in parts where it is large.

    Rows do not depend on each other, so that values and gradients are bit-exact.

    Args:
        losses_of: The loss of each row.
        logits: `(rows, classes)`; gradients flow into these alone.
        others: Tensors with as many rows.
    """
    if logits.numel() <= AT_ONCE:
        return losses_of(logits, *others)
    losses: Tensor = _InChunks.apply(losses_of, logits, *others)
    return losses


class _InChunks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, losses_of: RowLosses, *tensors: Tensor) -> Tensor:
        ctx.losses_of = losses_of
        ctx.save_for_backward(*tensors)
        return torch.cat([losses_of(*part) for part in _parts(tensors)])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        logits, *others = ctx.saved_tensors
        given = torch.empty_like(logits)
        for rows, weight, into, *rest in _parts((logits, gradient, given, *others)):
            leaf = rows.detach().requires_grad_()
            with torch.enable_grad():
                losses = ctx.losses_of(leaf, *rest)
            into.copy_(torch.autograd.grad(losses, leaf, weight)[0])
        return None, given, *(None for _ in others)


def _parts(tensors: tuple[Tensor, ...]) -> Any:
    """The rows of tensors in parts, of which the first tensor's have `AT_ONCE` numbers at most."""
    rows = max(1, AT_ONCE // tensors[0].shape[1])
    return zip(*(tensor.split(rows) for tensor in tensors), strict=True)
