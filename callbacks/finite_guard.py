"""Stops a run whose loss or gradient is no longer a number, and keeps what led there."""

import math
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from showo_turbo.errors import UserError
from showo_turbo.training.incident import (
    INCIDENT_FILE,
    STUDENT_FOLDER,
    TARGET_FOLDER,
    batch_name,
    non_finite_gradients,
    settings_of,
    target_of,
)
from showo_turbo.training.student_weights import write_student
from showo_turbo.training.turbo import ShowoTurbo
from showo_turbo.trajectories.batch_file import save_batch
from showo_turbo.utils.files import write_json


class FiniteGuard(Callback):
    """Stops a run at the first step whose loss or gradient is NaN or infinite.

    The check comes after the backward pass and before the optimizer's step, so the student still
    has the weights that the batch met, and no checkpoint has seen worse. Everything that is needed
    to look into it goes to `<folder>/step-<s>`:

    - `incident.json`: step, epoch, seeds, the position in the data, the loss and its terms, which
      parameters' gradients are not finite, the last checkpoint, and the module's settings;
    - `batch-<rank>-<i>.safetensors`: the step's batches, of each process;
    - `student/`: the student, and, where another network makes the consistency target, `target/`.

    `showo-turbo replay <folder>/step-<s>` runs the batches again and shows where the numbers go
    wrong. Of modules other than `ShowoTurbo` there are only the first two, and no replay.

    With mixed float16 precision, infinite gradients are how the loss scale is found, and the scaler
    skips their steps by itself: there only the loss is watched.

    Example:
        YAML::

            trainer:
              callbacks:
                - class_path: FiniteGuard
                  init_args:
                    skip: 3

    Args:
        skip: Steps to leave out, weights and moments untouched, before the run is stopped. Each is
            written and reported, and all count that the run has left out since it was begun.
        folder: Where to write; `<trainer.default_root_dir>/incidents` by default.

    Raises:
        UserError: When a step is not finite and no more may be skipped.
    """

    def __init__(self, skip: int = 0, folder: Path | None = None) -> None:
        super().__init__()
        if skip < 0:
            raise UserError(f"FiniteGuard: skip is {skip}; expected 0 or more")
        self.skip = skip
        self.folder = folder
        self.skipped = 0
        self._batches: list[tuple[int, Any]] = []
        self._losses: list[Tensor] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Settle on the folder."""
        if self.folder is None:
            self.folder = Path(trainer.default_root_dir) / "incidents"

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Hold on to the batch until its step is through."""
        self._batches.append((batch_idx, batch))

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """Hold on to the loss."""
        self._losses.append(loss.detach())

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Look at loss and gradient, before the weights are moved."""
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        gradients = [p.grad for p in parameters if p.grad is not None and not scaled]
        watched = [*self._losses, *([get_total_norm(gradients)] if gradients else [])]
        finite = bool(torch.stack([value.float() for value in watched]).isfinite().all())
        # All processes stop together, whichever of them saw it.
        if trainer.strategy.reduce_boolean_decision(finite, all=True):
            self._forget()
            return
        self._report(trainer, pl_module)
        for parameter in parameters:
            parameter.grad = None
        self._forget()

    def _report(self, trainer: Trainer, module: LightningModule) -> None:
        """Write the incident, and stop unless it may be skipped."""
        assert self.folder is not None  # set in setup
        step = trainer.global_step
        folder = self.folder / f"step-{step}"
        for index, batch in self._batches:
            save_batch(folder / batch_name(trainer.global_rank, index), batch)
        if isinstance(module, ShowoTurbo):
            write_student(folder / STUDENT_FOLDER, trainer, module)
            target = target_of(module)
            if target is not None and trainer.is_global_zero:
                target.save_pretrained(folder / TARGET_FOLDER)
        incident = self._describe(trainer, module)
        if trainer.is_global_zero:
            write_json(folder / INCIDENT_FILE, incident)
        trainer.strategy.barrier("incident written")
        terms = ", ".join(f"{name} {value}" for name, value in incident["losses"].items())
        what = f"step {step} is not finite ({terms or 'no losses logged'}); written to {folder}"
        if self.skipped < self.skip:
            self.skipped += 1
            rank_zero_info(f"{what}; skipped, {self.skip - self.skipped} more may be")
            return
        raise UserError(
            f"{what}; look into it with `showo-turbo replay {folder}`; the last good checkpoint is "
            f"{incident['last_checkpoint'] or 'none, since none was written yet'}"
        )

    def _describe(self, trainer: Trainer, module: LightningModule) -> dict[str, Any]:
        """The incident in plain values; a number that JSON does not have becomes its name."""
        losses = {
            name.removeprefix("train/"): _plain(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith("train/")
        }
        data = getattr(trainer, "datamodule", None)
        checkpoints = trainer.checkpoint_callback
        last = getattr(checkpoints, "last_model_path", "")
        return {
            "step": trainer.global_step,
            "epoch": trainer.current_epoch,
            "batches": [index for index, _ in self._batches],
            "processes": trainer.world_size,
            "precision": str(trainer.precision),
            "seed": torch.initial_seed(),
            "data": data.state_dict() if data is not None else {},
            "losses": losses,
            "gradients_not_finite": non_finite_gradients(module),
            "last_checkpoint": last or getattr(checkpoints, "best_model_path", ""),
            "settings": settings_of(module) if isinstance(module, ShowoTurbo) else {},
        }

    def _forget(self) -> None:
        self._batches.clear()
        self._losses.clear()

    def state_dict(self) -> dict[str, Any]:
        """How many steps were left out so far."""
        return {"skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.skipped = state_dict["skipped"]


def _plain(value: Tensor) -> float | str:
    """A number for JSON, which has none that is not finite: those become `nan` or `inf`."""
    number = float(value)
    return number if math.isfinite(number) else str(number)
