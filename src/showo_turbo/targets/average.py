"""The moving average of the student as a consistency target."""

from typing import ClassVar, cast

from lightning.pytorch import Trainer
from torch import nn

from ..errors import UserError
from ..models.protocols import ImageModel
from ..utils.lightning_internals import averaged_module
from .target import ConsistencyTarget, Distilled


class AverageTarget(ConsistencyTarget):
    """The prediction of the average that Lightning's `EMAWeightAveraging` keeps of the student.

    Raises:
        UserError: If no such callback is listed under `trainer.callbacks`.
    """

    needs_teacher: ClassVar[bool] = False

    def network(self, module: Distilled) -> ImageModel:
        """The averaged student."""
        return cast(ImageModel, average_of(module.trainer).get_submodule("student"))

    def setup(self, module: Distilled) -> None:
        """Look for the average."""
        average_of(module.trainer)

    def on_train_start(self, module: Distilled) -> None:
        """Bring the average to the student: Lightning keeps it where the module was at setup."""
        average_of(module.trainer).to(module.device)


def average_of(trainer: Trainer) -> nn.Module:
    """Return the averaged copy of the module that a trainer trains.

    It exists from the callback's `setup` on.

    Raises:
        UserError: If no callback keeps one.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if (average := averaged_module(callback)) is not None:
            return average
    raise UserError(
        "consistency_target is AverageTarget, but no callback keeps an average; add "
        "EMAWeightAveraging to trainer.callbacks, or choose StudentTarget or TeacherTarget"
    )
