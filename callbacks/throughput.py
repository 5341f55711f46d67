"""How fast a run trains, in the progress bar and in the logs."""

import time
from collections.abc import Mapping
from typing import Any

from lightning.fabric.utilities import Throughput as Window
from lightning.pytorch import Callback, LightningModule, Trainer

from showo_turbo.errors import UserError


class Throughput(Callback):
    """Logs how many samples are trained on a second, and which share of the time waits for data.

    `train/samples_per_second` counts the samples of all streams and all devices, over the last
    steps; `train/waiting_for_data` is the share of this process's time between its batches. What
    happens between epochs, such as collecting trajectories and validation, is not counted.

    Example:
        YAML::

            trainer:
              callbacks:
                - class_path: Throughput

    Args:
        window_size: Batches that the means are taken over; there are none before as many have been
            trained on.

    Raises:
        UserError: If the window has fewer than 2.
    """

    def __init__(self, window_size: int = 20) -> None:
        super().__init__()
        if window_size < 2:
            raise UserError(f"Throughput: window_size is {window_size}; expected at least 2")
        self.window_size = window_size
        self._trained = self._waited = self._last = 0.0
        self._batches = self._samples = 0
        self._window = Window(window_size=window_size)
        self._waits: list[float] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin, with the samples of all devices."""
        self._window = Window(
            world_size=trainer.world_size, window_size=self.window_size, separator="/"
        )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count from here."""
        self._last = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Likewise."""
        self._last = time.perf_counter()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Count the time since the last batch as waiting."""
        now = time.perf_counter()
        self._waits = [*self._waits, now - self._last][-self.window_size + 1 :]
        self._trained += now - self._last
        self._last = now

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count the batch, and log."""
        now = time.perf_counter()
        self._trained += now - self._last
        self._last = now
        self._batches += 1
        self._samples += samples_of(batch)
        self._window.update(time=self._trained, batches=self._batches, samples=self._samples)
        found = self._window.compute()
        speed = found.get("samples_per_sec", found.get("device/samples_per_sec"))
        if speed is None:
            return
        # The rate is that of one batch fewer than there are points.
        spent = (self.window_size - 1) / found["device/batches_per_sec"]
        pl_module.log("train/samples_per_second", speed, prog_bar=True, batch_size=1)
        pl_module.log("train/waiting_for_data", sum(self._waits) / spent, batch_size=1)


def samples_of(batch: Any) -> int:
    """Samples of a batch, those of all streams where there are several."""
    if not isinstance(batch, Mapping):
        return len(batch)
    return sum(_count(stream) for stream in batch.values())


def _count(stream: Any) -> int:
    """Samples of a stream: its prompts, or the entries of its first column."""
    prompts = getattr(stream, "prompt_ids", None)
    if prompts is not None:
        return len(prompts)
    return len(next(iter(stream.values()))) if isinstance(stream, Mapping) else len(stream)
