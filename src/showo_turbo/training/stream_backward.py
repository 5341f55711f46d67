"""The backward pass of one stream after the other, so that only one holds its activations."""

from collections.abc import Sequence

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy
from torch import Tensor

from ..errors import UserError

SHARDED = "{} gathers its shards for a single one"
SCALED = "{} scales the loss of the step as a whole"
"""Why a step has one backward pass: of a strategy, and of a precision."""


def check_stream_backward(trainer: Trainer) -> None:
    """Raise where a step cannot have several backward passes.

    Raises:
        UserError: If the strategy shards the weights, or the precision scales the loss.
    """
    reason = None
    if isinstance(trainer.strategy, (FSDPStrategy, DeepSpeedStrategy)):
        reason = SHARDED.format(type(trainer.strategy).__name__)
    elif getattr(trainer.precision_plugin, "scaler", None) is not None:
        reason = SCALED.format(trainer.precision)
    if reason is not None:
        raise no_stream_backward(reason)


def no_stream_backward(reason: str) -> UserError:
    """The error where a step cannot have several backward passes.

    Args:
        reason: `SHARDED` of the strategy, or `SCALED` of the precision.
    """
    return UserError(
        f"backward_by_stream takes a backward pass for each stream, but {reason}; expected "
        "one device, DDP or FullySharded, and bf16-mixed or 32-true: change that, or set it to "
        "false"
    )


def backward_order(streams: Sequence[str]) -> list[str]:
    """The streams with text first, whose logits are the largest: there are no gradients yet."""
    return sorted(streams, key=lambda name: name != "text")


def begin_step(module: LightningModule, batch_index: int) -> None:
    """Forget the gradients of the last step, before the first backward pass of the next.

    Lightning would forget them after `training_step`, which is too late here; the module's
    `optimizer_zero_grad` must do nothing.
    """
    if batch_index % module.trainer.accumulate_grad_batches == 0:
        module.optimizers(use_pl_optimizer=False).zero_grad()  # type: ignore[union-attr]


def backward_now(module: LightningModule, loss: Tensor) -> None:
    """Add a part of the step's loss to the gradients, within `training_step`.

    DDP expects the gradients of a step only after its forward pass, and exchanges what has then
    come together; so nothing is exchanged here. Where weights are sharded, every backward pass adds
    up what it has.

    Args:
        module: Is trained.
        loss: Of streams whose activations are not needed any longer.
    """
    with torch.autocast(loss.device.type, enabled=False):  # as outside of `training_step`
        (loss / module.trainer.accumulate_grad_batches).backward()
