"""What several processes of one run have in common: their losses, and that one may die."""

from collections.abc import Mapping, Sequence

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
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


def global_means(
    terms: Mapping[str, LossValue], names: Sequence[str], device: torch.device | None = None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return each term's mean over the samples of all processes, as a share and as a value.

    The processes' batches need not count equally many samples, so averaging the gradients of their
    own means, as data parallel training does, would give another gradient than one process with the
    joint batch. Scaling each mean by its process's part of the samples makes them equal.

    To be called by all processes. A process may lack a term, whose samples in its batch were all
    bad.

    Args:
        terms: Those of this process.
        names: All that there can be, in an order that all processes share.
        device: Where the means are exchanged; by default where the terms are, of which there is
            at least one then.

    Returns:
        For every term of this process a share with a gradient, whose average over the processes is
        the joint mean; and for every term of any process the joint mean without one. In a single
        process both are the term's own mean.
    """
    own = {name: value.mean for name, value in terms.items()}
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return own, {name: mean.detach() for name, mean in own.items()}
    device = device or next(iter(own.values())).device
    table = torch.zeros(3, len(names), device=device)  # sums, counts, and who has the term
    for place, name in enumerate(names):
        if name in terms:
            count = (terms[name].counted > 0).sum()
            table[0, place] = own[name].detach() * count
            table[1, place] = count
            table[2, place] = 1
    counts = table[1].clone()
    distributed.all_reduce(table)
    sums, totals, owners = table[0], table[1].clamp_min(1), table[2].tolist()
    scales = dict(zip(names, distributed.get_world_size() * counts / totals, strict=True))
    means = zip(names, sums / totals, owners, strict=True)
    shares = {name: mean * scales[name] for name, mean in own.items()}
    return shares, {name: mean for name, mean, having in means if having}


def is_sharded(trainer: Trainer) -> bool:
    """Whether no single process holds all weights."""
    return isinstance(trainer.strategy, (FSDPStrategy, DeepSpeedStrategy, ModelParallelStrategy))


def lost_process(error: BaseException | None) -> bool:
    """Whether an error says that another process of the run was no longer there."""
    while error is not None:
        if isinstance(error, distributed.DistError) or any(text in str(error) for text in _LOST):
            return True
        error = error.__cause__
    return False
