"""A training of seconds, for what is around the training."""

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch.utils.data import DataLoader


class Counter(LightningModule):
    """Its one weight counts the steps, which it logs; a part is frozen."""

    def __init__(self, start: float = 0.0, lr: float = 1.0):
        super().__init__()
        self.lr = lr
        self.count = torch.nn.Parameter(torch.tensor(start))
        self.frozen = torch.nn.Identity().eval()

    def training_step(self, batch, batch_index):
        self.log("train/count", self.count.detach())
        return -self.count

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Batches(LightningDataModule):
    """Four batches."""

    def train_dataloader(self):
        return DataLoader(torch.zeros(4, 1))


MODEL, DATA = ({"class_path": f"{__name__}.{kind.__name__}"} for kind in (Counter, Batches))
"""Of a configuration."""
