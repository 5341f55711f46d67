"""The learning rate of a stage: where it begins, and the scheduler that moves it."""

import copy
import math
import warnings
from collections.abc import Sequence

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.types import LRSchedulerConfig
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from ..errors import UserError
from .stage import Stage


class StageSchedules:
    """Gives the optimizers the learning rates and the schedulers of the stages.

    Lightning steps the schedulers, logs their rates and keeps their state in checkpoints, just as
    it does with those of `configure_optimizers`.

    Args:
        stages: All stages, in order.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = stages
        self._own_rates: list[list[float]] = []

    def check_model(self, lr_scheduler: object) -> None:
        """Raise on stages that have rates of their own beside a scheduler of the model.

        Raises:
            UserError: Naming the first such stage.
        """
        for index, stage in enumerate(self.stages):
            for name in ("learning_rate", "lr_scheduler"):
                if lr_scheduler is not None and getattr(stage, name) is not None:
                    raise UserError(
                        f"stage {index + 1} has a {name}, and the model an lr_scheduler that goes "
                        "on over all stages; name it in the stages or in the model, not both"
                    )

    def prepare(self, trainer: Trainer) -> None:
        """Note the optimizers' own rates, and try out every stage's scheduler.

        Must be called before the first stage begins and before a checkpoint is restored.

        Raises:
            UserError: If a scheduler cannot be made, or ends before its stage.
        """
        self._own_rates = [
            [group["lr"] for group in optimizer.param_groups] for optimizer in trainer.optimizers
        ]
        for index, stage in enumerate(self.stages):
            if stage.lr_scheduler is None:
                continue
            try:
                for optimizer, rates in zip(trainer.optimizers, self._own_rates, strict=True):
                    _try_out(stage, _copy_of(optimizer), rates)
            except UserError as error:
                raise UserError(f"stage {index + 1}: {error}") from error.__cause__

    def begin(self, trainer: Trainer, stage_index: int) -> None:
        """Set a stage's learning rate and install its scheduler, as new.

        A stage that has neither goes on with what the last stage that has one has left.

        Args:
            trainer: Whose optimizers they are.
            stage_index: The stage, from 0.
        """
        stage = self.stages[stage_index]
        if stage.learning_rate is None and stage.lr_scheduler is None:
            return
        optimizers = trainer.optimizers
        trainer.strategy.lr_scheduler_configs = [
            LRSchedulerConfig(_make(stage, optimizer), interval=stage.lr_interval)
            for optimizer, rates in zip(optimizers, self._own_rates, strict=True)
            if _set_rate(stage, optimizer, rates) and stage.lr_scheduler is not None
        ]

    def go_on(self, trainer: Trainer, stage_index: int) -> None:
        """Install what a run has in a stage, for a checkpoint's state to be restored into it."""
        for index in range(stage_index, -1, -1):
            stage = self.stages[index]
            if stage.learning_rate is not None or stage.lr_scheduler is not None:
                self.begin(trainer, index)
                return


def _set_rate(stage: Stage, optimizer: Optimizer, own: Sequence[float]) -> bool:
    """Set the rate that a stage begins with: its own, or else the optimizer's."""
    for group, rate in zip(optimizer.param_groups, own, strict=True):
        group["lr"] = group["initial_lr"] = stage.learning_rate or rate
    return True


def _make(stage: Stage, optimizer: Optimizer) -> LRScheduler:
    """Make a stage's scheduler.

    Raises:
        UserError: If it cannot be made, or is of a kind that a run could not be resumed with.
    """
    assert stage.lr_scheduler is not None
    try:
        schedule = stage.lr_scheduler(optimizer)
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise UserError(
            f"the lr_scheduler cannot be made ({_line(error)}); correct its options, or name "
            "another"
        ) from error
    if isinstance(schedule, ReduceLROnPlateau):
        raise UserError(
            "the lr_scheduler is ReduceLROnPlateau, which Lightning steps only when an epoch's "
            "checkpoints are written, so that a resumed run would differ; expected a schedule of "
            "epochs or steps, name another"
        )
    if not isinstance(schedule, LRScheduler):
        raise UserError(
            f"the lr_scheduler makes a {type(schedule).__name__}; expected one of torch's "
            "LRScheduler, name another"
        )
    return schedule


def _try_out(stage: Stage, optimizer: Optimizer, own: Sequence[float]) -> None:
    """Make a stage's scheduler on a copy of the optimizer, and step it through the epochs.

    Raises:
        UserError: If it cannot be made, or stepped as often as the stage has epochs.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no step of the optimizer came before
        _set_rate(stage, optimizer, own)
        schedule = _make(stage, optimizer)
        # How many steps an epoch has is not known yet, but it has at least one.
        for epoch in range(stage.epochs):
            try:
                schedule.step()
            except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
                raise UserError(
                    f"the lr_scheduler ends before the stage's {stage.epochs} epochs do "
                    f"({_line(error)}); give it a longer horizon"
                ) from error
            rates = [float(group["lr"]) for group in optimizer.param_groups]
            if not all(math.isfinite(rate) and rate >= 0 for rate in rates):
                raise UserError(
                    f"the lr_scheduler makes the learning rate {min(rates)} after epoch "
                    f"{epoch + 1}; expected 0 or more, correct its options"
                )


def _copy_of(optimizer: Optimizer) -> Optimizer:
    """An optimizer of the same class, options and parameters, which shares nothing that changes."""
    copied = copy.copy(optimizer)
    copied.param_groups = [dict(group) for group in optimizer.param_groups]
    copied.defaults = dict(optimizer.defaults)
    return copied


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
