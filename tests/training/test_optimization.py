"""Optimizers and schedules as the modules hand them to Lightning."""

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import ReduceLROnPlateau
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from showo_turbo.training.optimization import optimizer_and_schedule
from showo_turbo.training.schedules import WarmupStableDecay


class Line(LightningModule):
    """Learns nothing, but takes steps and logs a loss that never falls."""

    def __init__(self, lr_scheduler=None):
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.frozen = nn.Linear(2, 1).requires_grad_(False)
        self.lr_scheduler = lr_scheduler
        self.rates = []

    def training_step(self, batch, batch_index):
        self.rates.append(self.optimizers().param_groups[0]["lr"])
        self.log("loss", 1.0)
        return self.layer(batch).sum()

    def configure_optimizers(self):
        return optimizer_and_schedule(
            self, lambda groups: torch.optim.SGD(groups, lr=8.0), self.lr_scheduler
        )


def rates(lr_scheduler):
    module = Line(lr_scheduler)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(torch.ones(2, 2)))
    return module.rates


def test_only_what_is_trained_is_given_to_the_optimizer():
    module = Line()
    optimizer = module.configure_optimizers()
    given = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert given == {id(p) for p in module.layer.parameters()}


def test_the_rate_is_constant_without_a_schedule():
    assert rates(None) == [8.0] * 6


def test_a_schedule_is_stepped_with_the_optimizer():
    assert rates(lambda made: LambdaLR(made, lambda step: 0.5**step)) == [8, 4, 2, 1, 0.5, 0.25]


def test_one_that_watches_a_value_is_stepped_with_the_epoch():
    found = rates(lambda made: ReduceLROnPlateau(made, monitor="loss", factor=0.5, patience=0))
    assert found == [8, 8, 8, 8, 4, 4]


def test_warmup_stable_decay():
    found = rates(lambda made: WarmupStableDecay(made, 2, total_steps=6, decay_steps=2))
    assert found == [4, 8, 8, 8, 8, 4]
