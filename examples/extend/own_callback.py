"""A callback of your own: how evenly the codebook is used in the trajectories of each batch."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class CodeEntropy(Callback):
    """Logs the entropy of the image codes that a batch's trajectories end with, in nats.

    A curriculum whose students generate ever fewer images shows here first.

    Args:
        every_n_steps: How often it is logged, in optimizer steps.
    """

    def __init__(self, every_n_steps: int = 10) -> None:
        super().__init__()
        self.every_n_steps = every_n_steps

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Log it, when it is time."""
        if "image" not in batch or trainer.global_step % self.every_n_steps:
            return
        shares = torch.bincount(batch["image"].codes.flatten()).float()
        entropy = torch.distributions.Categorical(probs=shares).entropy()
        pl_module.log("train/code_entropy", entropy, batch_size=1)
