"""The average of a module's weights that Lightning's callback keeps."""

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import nn

from ..errors import UserError


def average_of(trainer: Trainer) -> nn.Module:
    """Return the averaged copy of the module that a trainer trains.

    It exists from the callback's `setup` on. Lightning keeps it on the device where the module was
    at that time, which for training on a GPU is the CPU.

    Raises:
        UserError: If no callback keeps one.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        # Lightning has no public name for it.
        if isinstance(callback, WeightAveraging) and callback._average_model is not None:
            average: nn.Module = callback._average_model.module
            return average
    raise UserError(
        "consistency_target is 'ema', but no callback keeps an average; add EMAWeightAveraging to "
        "trainer.callbacks, or choose 'student' or 'teacher'"
    )
