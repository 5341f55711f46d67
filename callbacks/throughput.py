"""How fast a run trains, in the progress bar and in the logs."""

import time
from collections.abc import Mapping
from typing import Any

import torch
from lightning.fabric.utilities import Throughput as Window
from lightning.fabric.utilities.throughput import get_available_flops
from lightning.pytorch import Callback, LightningModule, Trainer

from showo_turbo.errors import UserError
from showo_turbo.models.protocols import ImageModel
from showo_turbo.training.operations import CountedLayers


class Throughput(Callback):
    """Logs how many samples and tokens are trained on a second, and where the time goes.

    Over the last steps:

    - `train/samples_per_second`, the samples of all streams and all devices;
    - `train/tokens_per_second`, the tokens that go forward through the student on all devices, for
      consistency targets too, padding included;
    - `train/waiting_for_data`, the share of this process's time between its batches;
    - `train/mfu`, model FLOPs utilization: which share of a device's greatest number of operations
      a second is used by the student's layers (see `CountedLayers`), where that number is known.

    What happens between epochs, such as collecting trajectories and validation, is not counted.
    Where a configuration and an overlay both name this callback, the first one does the work.

    Example:
        YAML::

            trainer:
              callbacks:
                - class_path: Throughput

    Args:
        window_size: Batches that the means are taken over; there are none before as many have been
            trained on.
        device_tflops: 10^12 operations a second that a device has at most in the arithmetic of the
            run; by default as Lightning lists them, which for Hopper cards (H100, H200) is twice
            what they have without sparsity.

    Raises:
        UserError: If the window has fewer than 2, or a device no operations.
    """

    def __init__(self, window_size: int = 20, device_tflops: float | None = None) -> None:
        super().__init__()
        if window_size < 2:
            raise UserError(f"Throughput: window_size is {window_size}; expected at least 2")
        if device_tflops is not None and not device_tflops > 0:
            raise UserError(f"Throughput: device_tflops is {device_tflops}; expected more than 0")
        self.window_size = window_size
        self.device_tflops = device_tflops
        self._trained = self._last = 0.0
        self._batches = self._samples = self._operations = 0
        self._window = Window(window_size=window_size)
        self._waits: list[float] = []
        self._layers: CountedLayers | None = None
        self._stands_aside = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin, with the samples of all devices."""
        named = (other for other in trainer.callbacks if isinstance(other, Throughput))  # type: ignore[attr-defined]
        self._stands_aside = next(named, self) is not self
        if self._stands_aside:
            return
        available = None
        if self.device_tflops is not None:
            available = 1e12 * self.device_tflops
        elif pl_module.device.type == "cuda":
            half = torch.bfloat16 if "16" in str(trainer.precision) else torch.float32
            available = get_available_flops(pl_module.device, half)
        self._window = Window(available, trainer.world_size, self.window_size)
        student = getattr(pl_module, "student", None)
        if isinstance(student, ImageModel) and self._layers is None:
            self._layers = CountedLayers(student)

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
        if self._stands_aside:
            return
        now = time.perf_counter()
        self._trained += now - self._last
        self._last = now
        self._batches += 1
        self._samples += samples_of(batch)
        counted: dict[str, int] = {}
        if self._layers is not None and self._layers.tokens:
            done, self._operations = self._operations, self._layers.operations
            counted = {"lengths": self._layers.tokens, "flops": self._operations - done}
        self._window.update(
            time=self._trained, batches=self._batches, samples=self._samples, **counted
        )
        found = self._window.compute()
        if "device/samples_per_sec" not in found:
            return
        # The rate is that of one batch fewer than there are points.
        spent = (self.window_size - 1) / found["device/batches_per_sec"]
        logged = {
            "samples_per_second": found.get("samples_per_sec", found["device/samples_per_sec"]),
            "tokens_per_second": found.get("items_per_sec", found.get("device/items_per_sec")),
            "waiting_for_data": sum(self._waits) / spent,
            "mfu": found.get("device/mfu"),
        }
        for name, value in logged.items():
            if value is not None:
                pl_module.log(f"train/{name}", value, prog_bar=True, batch_size=1)


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
