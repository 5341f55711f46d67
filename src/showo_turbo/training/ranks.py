"""Losses over the samples of all processes."""

from collections.abc import Mapping

import torch
from torch import Tensor, distributed

from ..losses.reduction import LossValue


def global_means(terms: Mapping[str, LossValue]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return each term's mean over the samples of all processes, as a share and as a value.

    The processes' batches need not count equally many samples, so averaging the gradients of their
    own means, as data parallel training does, would give another gradient than one process with the
    joint batch. Scaling each mean by its process's part of the samples makes them equal.

    To be called by all processes, with the same terms in the same order.

    Returns:
        For every term a share with a gradient, whose average over the processes is the joint mean,
        and the joint mean without one. In a single process both are the term's own mean.
    """
    own = {name: value.mean for name, value in terms.items()}
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return own, {name: mean.detach() for name, mean in own.items()}
    counts = torch.stack([(value.counted > 0).sum() for value in terms.values()])
    means = torch.stack([mean.detach().float() for mean in own.values()])
    table = torch.stack([means * counts, counts.to(means)])
    distributed.all_reduce(table)
    sums, totals = table[0], table[1].clamp_min(1)
    scales = distributed.get_world_size() * counts / totals
    shares = {name: mean * scale for (name, mean), scale in zip(own.items(), scales, strict=True)}
    return shares, dict(zip(own, sums / totals, strict=True))
