"""How fast a model trains, in the logs."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class TrainingSpeed(Callback):
    """Logs steps and samples a second, as a mean over the steps since the last logged one.

    What is between the steps counts, such as loading; validation and what happens between epochs,
    such as collecting trajectories, does not. Samples are those of all streams and devices, and are
    left out where the DataModule has no `batch_sizes`.

    Events: `on_train_batch_end`. Logged are `speed/steps_per_second` and
    `speed/samples_per_second`.

    Example:
        YAML::

            trainer:
              callbacks:
                - class_path: TrainingSpeed
    """

    _since = 0.0
    _batches = 0
    _step = 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        self._since, self._batches = time.perf_counter(), 0
        self._step = trainer.global_step

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count again."""
        self._since, self._batches = time.perf_counter(), 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Log, when it is time."""
        self._batches += 1
        has_stepped, self._step = trainer.global_step > self._step, trainer.global_step
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not has_stepped or not every or trainer.global_step % every:
            return
        now = time.perf_counter()
        rate = self._batches / (now - self._since)
        self._since, self._batches = now, 0
        steps = rate / trainer.accumulate_grad_batches
        pl_module.log("speed/steps_per_second", steps, batch_size=1)
        sizes = getattr(trainer.datamodule, "batch_sizes", None)  # type: ignore[attr-defined]
        if isinstance(sizes, dict):
            samples = rate * sum(sizes.values()) * trainer.world_size
            pl_module.log("speed/samples_per_second", samples, batch_size=1)
