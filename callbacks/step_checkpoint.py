"""Checkpoints in the run's own folder, from which nothing of an epoch's end is lost."""

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from showo_turbo.utils.lightning_internals import HeldCheckpoint, end_after_step


class StepCheckpoint(HeldCheckpoint):
    """Lightning's `ModelCheckpoint`, whose checkpoint of an epoch's last step waits for its end.

    Lightning's own is written before the epoch's validation and before what happens when an epoch
    ends. A run that is resumed from it does neither. This one is written after both. There is also
    one where the run ends, be it at its end or by a signal.

    Example:
        YAML::

            trainer:
              callbacks:
                - class_path: StepCheckpoint
                  init_args:
                    every_n_train_steps: 100
                    save_last: link

    With `save_last: link`, `last.ckpt` leads to the newest checkpoint, which is then written once.

    All arguments are those of `ModelCheckpoint`, but checkpoints go to
    `<trainer.default_root_dir>/checkpoints` unless `dirpath` says otherwise, so that a run moves as
    a whole.
    """

    _waits = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Settle on the folder."""
        if self.dirpath is None:
            self.dirpath = str(Path(trainer.default_root_dir).absolute() / "checkpoints")
        super().setup(trainer, pl_module, stage)

    def on_train_batch_end(self, trainer: Trainer, *arguments: Any) -> None:
        """Save if it is time, but not after an epoch's last step."""
        if trainer.is_last_batch:
            self._waits = self.is_due(trainer)
        elif ends_after_step(trainer):
            self.save_now(trainer)
        else:
            super().on_train_batch_end(trainer, *arguments)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what has waited."""
        super().on_train_epoch_end(trainer, pl_module)
        if self._waits or ends_after_step(trainer):
            self.save_now(trainer)
        self._waits = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save where the run ends."""
        super().on_train_end(trainer, pl_module)
        self.save_now(trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save where a signal came too late for `on_train_batch_end`, between two batches."""
        super().on_exception(trainer, pl_module, exception)
        between = isinstance(exception, SIGTERMException) and trainer.training
        if between and not trainer.is_last_batch:
            self.save_now(trainer)


def ends_after_step(trainer: Trainer) -> bool:
    """Whether a signal has asked any process to end after its step; then all of them do."""
    asked = bool(trainer.received_sigterm)
    if trainer.world_size > 1:
        asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        if asked:
            end_after_step(trainer)
    return asked
