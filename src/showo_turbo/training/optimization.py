"""What the modules' `configure_optimizers` returns."""

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.optim import Optimizer

from ..errors import UserError
from .optimizers import parameter_groups


def optimizer_and_schedule(
    module: nn.Module, optimizer: OptimizerCallable, lr_scheduler: LRSchedulerCallable | None
) -> OptimizerLRScheduler:
    """Make the optimizer of what is trained in a module, and its learning rate schedule.

    Args:
        module: Of its parameters, those that require a gradient are trained.
        optimizer: Makes the optimizer.
        lr_scheduler: Makes the schedule, which is stepped once an optimizer step; Lightning's
            `ReduceLROnPlateau` is stepped once an epoch, with the logged value that it monitors.

    Raises:
        UserError: If the optimizer or the schedule rejects its options.
    """
    try:
        made = optimizer(parameter_groups(module))
        _try_fused(made, optimizer)
    except UserError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:  # such as a negative rate
        raise UserError(
            f"the optimizer cannot be made ({error}); correct its options, or name another"
        ) from error
    if lr_scheduler is None:
        return made
    try:
        schedule = lr_scheduler(made)
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise UserError(
            f"the lr_scheduler cannot be made ({error}); correct its options, or name another"
        ) from error
    if isinstance(schedule, ReduceLROnPlateau):
        return {
            "optimizer": made,
            "lr_scheduler": {"scheduler": schedule, "monitor": schedule.monitor},
        }
    return {"optimizer": made, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _try_fused(made: Optimizer, optimizer: OptimizerCallable) -> None:
    """Take a step with another parameter where an optimizer is fused, which not all devices can.

    Raises:
        RuntimeError: If there is no such kernel; torch would raise it in the first step only.
    """
    for group in made.param_groups:
        if group.get("fused"):
            first = group["params"][0]
            probe = nn.Parameter(torch.zeros(1, dtype=first.dtype, device=first.device))
            probe.grad = torch.zeros_like(probe)
            optimizer([{"params": [probe]}]).step()
