"""Lightning's progress bar with the stage of the curriculum in front."""

import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

from showo_turbo.sampling.image_sampling import ImageSampling

from .curriculum import Curriculum


class StageProgressBar(TQDMProgressBar):
    """Shows which stage is trained: `stage 1/2 (16 steps, guidance 1.5, ...), epoch 3/8`.

    It replaces Lightning's own bar. Where there is no `Curriculum` it shows only the epoch. It is
    the plain bar and not the `rich` one, because collecting trajectories in the middle of training
    shows a `rich` bar, and some versions of `rich` allow only one at a time. Where the output goes
    to a file or a pipe, it is a line for each epoch.

    Example:
        YAML::

            trainer:
              callbacks:
                - class_path: StageProgressBar

    Args:
        refresh_rate: Batches between two updates; 0 shows nothing.
        process_position: Lines to leave free above the bar.
        leave: Keep the bar of each epoch.
    """

    def __init__(
        self, refresh_rate: int = 1, process_position: int = 0, leave: bool = False
    ) -> None:
        self._lines = refresh_rate > 0 and not sys.stdout.isatty()
        self._began = 0.0
        self._epoch = ""
        super().__init__(0 if self._lines else refresh_rate, process_position, leave)

    def on_train_start(self, trainer: Trainer, *arguments: Any) -> None:
        """Begin with an epoch, also where a checkpoint resumes in the middle of it."""
        self._begin_epoch(trainer)
        super().on_train_start(trainer, *arguments)

    def on_train_epoch_start(self, trainer: Trainer, *arguments: Any) -> None:
        """Put the stage and the epoch in front of the bar."""
        self._begin_epoch(trainer)
        super().on_train_epoch_start(trainer, *arguments)
        if not self._lines:
            self.train_progress_bar.set_description(self._epoch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Where there is no bar, say in a line how the epoch went."""
        super().on_train_epoch_end(trainer, pl_module)
        if self._lines and trainer.is_global_zero:
            metrics = self.get_metrics(trainer, pl_module)
            numbers = {name: value for name, value in metrics.items() if name != "v_num"}
            shown = [
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                for name, value in numbers.items()
            ]
            seconds = time.perf_counter() - self._began
            parts = [f"step {trainer.global_step}", *shown, f"{seconds:.0f} s"]
            print(f"{self._epoch}: {', '.join(parts)}", flush=True)

    def _begin_epoch(self, trainer: Trainer) -> None:
        """Note the time, and the epoch: the curriculum may go on before it ends here."""
        self._began = time.perf_counter()
        self._epoch = _epoch_of(trainer)


def _epoch_of(trainer: Trainer) -> str:
    sampling = getattr(trainer.lightning_module, "teacher_sampling", ImageSampling())
    return describe_epoch(trainer, sampling)


def describe_epoch(trainer: Trainer, teacher_sampling: ImageSampling) -> str:
    """The stage of the curriculum, if there is one, and the epoch in it or in the run.

    Args:
        trainer: Knows the callbacks and the epoch.
        teacher_sampling: How the module's teacher is sampled, before the stage's changes.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Curriculum):
            index = callback.stage_index
            before = sum(stage.epochs for stage in callback.stages[:index])
            stage = callback.stages[index]
            return (
                f"stage {index + 1}/{len(callback.stages)} ({stage.describe(teacher_sampling)}), "
                f"epoch {trainer.current_epoch - before + 1}/{stage.epochs}"
            )
    return f"epoch {trainer.current_epoch + 1}"
