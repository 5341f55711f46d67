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
    optimizer steps; `value`, that of the metric by which the run is judged, null if it was not
    logged; and all `metrics` by name, so that a misspelt one can be corrected without training
    again. A run whose sweep was killed is ended at its next batch, so that it can be continued.

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
        metric: Name of the logged metric that judges the run.
        file: Where the lines go.
    """

    def __init__(self, metric: str, file: Path) -> None:
        super().__init__()
        self.metric = metric
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
        value = metrics.get(self.metric)
        entry = {"step": trainer.global_step, "value": value, "metrics": metrics}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with open(self.file, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
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
