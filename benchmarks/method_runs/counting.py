"""Counts the forward passes of a run, whoever makes them, and its CPU time."""

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.hooks import RemovableHandle
from transformers import PhiModel


class ForwardCounter(Callback):
    """Counts the sequences that networks compute: to collect, to judge, as targets, and to train.

    A sequence that is trained on counts three times, since a backward pass costs two forward ones.
    The counts are in the checkpoints, and so are the seconds of CPU time that a run took, over its
    tries and those of the run that it branched from.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts = {"inference": 0, "training": 0}
        self.seconds = 0.0
        self._began = time.process_time()
        self._handle: RemovableHandle | None = None

    @property
    def forwards(self) -> int:
        """Forward passes of one sequence, or what costs as much."""
        return self.counts["inference"] + 3 * self.counts["training"]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin to count."""
        self._began = time.process_time()
        self._handle = register_module_forward_hook(self._count)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Stop counting."""
        if self._handle is not None:
            self._handle.remove()

    def _count(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(module, PhiModel):
            kind = "training" if torch.is_grad_enabled() else "inference"
            self.counts[kind] += len(output.last_hidden_state)

    def state_dict(self) -> dict[str, Any]:
        """The counts so far."""
        return {
            "counts": dict(self.counts),
            "seconds": self.seconds + time.process_time() - self._began,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's counts."""
        self.counts = dict(state_dict["counts"])
        self.seconds = state_dict["seconds"]
