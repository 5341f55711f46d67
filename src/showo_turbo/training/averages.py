"""Averages of weights that Lightning's callbacks keep, and what goes wrong with them silently."""

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging
from lightning.pytorch.utilities import rank_zero_warn
from torch import nn

from ..errors import UserError
from ..utils.lightning_internals import averaged_module, has_begun


def check_averages(trainer: Trainer) -> None:
    """Raise on averages that would hold nothing.

    Raises:
        UserError: If there is a `StochasticWeightAveraging`, which copies the module before its
            networks are loaded.
    """
    for callback in _callbacks(trainer):
        if isinstance(callback, StochasticWeightAveraging):
            raise UserError(
                "StochasticWeightAveraging copies the module before its networks are loaded, and "
                "would average nothing; use EMAWeightAveraging, or WeightAveraging with a "
                "should_update of your own"
            )


@torch.no_grad()
def follow_until_begun(trainer: Trainer, module: nn.Module, name: str) -> None:
    """Keep averages that have not begun equal to the weights.

    Lightning validates the average and takes it over at the end of training, begun or not; one that
    has not begun would be the weights that training started from.

    Args:
        trainer: Has the callbacks.
        module: The module that is trained.
        name: Its submodule that is trained.
    """
    for callback in _callbacks(trainer):
        average = averaged_module(callback)
        if average is None or has_begun(callback):
            continue
        own = module.get_submodule(name).state_dict()
        for key, value in average.get_submodule(name).state_dict().items():
            value.copy_(own[key])


def warn_of_averages_that_never_began(trainer: Trainer) -> None:
    """Say at the end of training which averages have averaged nothing."""
    for callback in _callbacks(trainer):
        if averaged_module(callback) is not None and not has_begun(callback):
            rank_zero_warn(
                f"the average of {type(callback).__name__} never began; the weights are those of "
                "the last step; let it begin earlier (update_starting_at_step)"
            )


def _callbacks(trainer: Trainer) -> list[object]:
    return list(trainer.callbacks)  # type: ignore[attr-defined]
