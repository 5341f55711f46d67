"""Clipping of gradients, also where Lightning leaves it to the module."""

from lightning.pytorch import LightningModule
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.optim import Optimizer

from ..errors import UserError


def clip_gradients(
    module: LightningModule,
    optimizer: Optimizer,
    gradient_clip_val: float | None = None,
    gradient_clip_algorithm: str | None = None,
) -> None:
    """Clip as the trainer is asked to: a module's `configure_gradient_clipping`.

    Under FSDP the norm is that over all shards. Lightning does not clip for fused optimizers under
    mixed precision, since these could unscale the gradients themselves; without a scale there is
    nothing to unscale, so that they are clipped here.

    Args:
        module: Is trained.
        optimizer: Has the parameters.
        gradient_clip_val: Largest norm, or absolute value; 0 or None for any.
        gradient_clip_algorithm: `norm`, the default, or `value`.

    Raises:
        UserError: If a fused optimizer unscales the gradients of float16.
    """
    network = module.trainer.strategy.model
    by_value = gradient_clip_algorithm == "value"
    if not gradient_clip_val:
        return
    if isinstance(network, FullyShardedDataParallel) and not by_value:
        network.clip_grad_norm_(gradient_clip_val)
        return
    if not getattr(optimizer, "_step_supports_amp_scaling", False):
        module.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        return
    if getattr(module.trainer.precision_plugin, "scaler", None) is not None:
        raise UserError(
            f"gradient_clip_val is {gradient_clip_val:g}, but a fused {type(optimizer).__name__} "
            f"unscales the gradients of {module.trainer.precision} itself, after they would be "
            "clipped; use bf16-mixed, or leave fused or gradient_clip_val out"
        )
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if by_value:
        nn.utils.clip_grad_value_(parameters, gradient_clip_val)
    else:
        nn.utils.clip_grad_norm_(parameters, gradient_clip_val)
