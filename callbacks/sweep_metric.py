"""What a sweep watches: one metric after every validation, in a file."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from showo_turbo.errors import UserError


class SweepMetric(Callback):
    """Writes a logged metric to a JSON Lines file after every validation.

    `showo-turbo sweep` adds it to the runs that it starts. Each line holds `step`, the number of
    optimizer steps, and `value`. A run whose sweep was killed is ended at its next batch, so that
    it can be continued.

    Events: `on_validation_end`, but for the sanity check, by the first process; and
    `on_train_batch_end`.

    Example:
        YAML::

            trainer:
              callbacks:
                - class_path: SweepMetric
                  init_args:
                    metric: val/validation/score/4_steps_guidance_0
                    file: runs/mine/sweep_metric.jsonl

    Args:
        metric: Name of the logged metric.
        file: Where the lines go.
    """

    def __init__(self, metric: str, file: Path) -> None:
        super().__init__()
        self.metric = metric
        self.file = Path(file)
        self._parent = os.getppid()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the metric.

        Raises:
            UserError: If it was not logged.
        """
        if trainer.sanity_checking:
            return
        value = trainer.callback_metrics.get(self.metric)
        if value is None:
            known = ", ".join(sorted(trainer.callback_metrics)) or "none"
            raise UserError(f"there is no metric {self.metric!r}; those logged are {known}")
        if trainer.is_global_zero:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with open(self.file, "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": trainer.global_step, "value": float(value)}) + "\n")
                file.flush()
                os.fsync(file.fileno())

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """End the run, as a scheduler would, when whoever started it is gone."""
        if trainer.is_global_zero and os.getppid() != self._parent:
            os.kill(os.getpid(), signal.SIGTERM)
