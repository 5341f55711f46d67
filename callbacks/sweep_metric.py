"""What a sweep watches: the metrics after every validation, in a file."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class SweepMetric(Callback):
    """Writes the logged metrics to a JSON Lines file after every validation.

    `showo-turbo sweep` adds it to the runs that it starts. Each line holds `step`, the number of
    optimizer steps, and all `metrics` by name, so that the name of the one that judges the run can
    be corrected without training again. A run whose sweep was killed is ended at its next batch, so
    that it can be continued.

    Events: `on_validation_end`, but for the sanity check, by the first process; and
    `on_train_batch_end`.

    Example:
        YAML::

            trainer:
              callbacks:
                - class_path: SweepMetric
                  init_args: {file: runs/mine/sweep_metric.jsonl}

    Args:
        file: Where the lines go.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = Path(file)
        self._parent = os.getppid()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the metrics."""
        if trainer.sanity_checking:
            return
        # By every process: Lightning may gather them here.
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not trainer.is_global_zero:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with open(self.file, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": trainer.global_step, "metrics": metrics}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def on_train_batch_end(self, trainer: Trainer, *arguments: Any) -> None:
        """End the run, as a scheduler would, when whoever started it is gone."""
        if trainer.is_global_zero and os.getppid() != self._parent:
            os.kill(os.getpid(), signal.SIGTERM)
