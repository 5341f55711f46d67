"""What several processes of one run have in common: their losses, and that one may die."""

from collections.abc import Mapping

import torch
from torch import Tensor, distributed

from ..losses.reduction import LossValue

_LOST = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "Timed out waiting",
    "Socket Timeout",
    "NCCL error",
)
"""What gloo, NCCL and the store of the process group say when they miss another process."""


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


def lost_process(error: BaseException | None) -> bool:
    """Whether an error says that another process of the run was no longer there."""
    while error is not None:
        if isinstance(error, distributed.DistError) or any(text in str(error) for text in _LOST):
            return True
        error = error.__cause__
    return False
