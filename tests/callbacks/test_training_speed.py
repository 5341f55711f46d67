"""Speeds by a clock that goes as the test says."""

import csv
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from showo_turbo.callbacks import TrainingSpeed, training_speed

from .runs import make_trainer


class Timed(LightningModule):
    """A batch takes half a second, a validation a hundred, and the end of an epoch a thousand."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.now = 0.0

    def training_step(self, batch, batch_index):
        self.now += 0.5
        return self.weight

    def validation_step(self, batch, batch_index):
        self.now += 100

    def on_train_epoch_end(self):
        self.now += 1000

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


class Batches(LightningDataModule):
    """Eight batches of two streams, and one to validate on."""

    def __init__(self, sizes):
        super().__init__()
        if sizes:
            self.batch_sizes = sizes

    def train_dataloader(self):
        return DataLoader(torch.zeros(8, 1))

    def val_dataloader(self):
        return DataLoader(torch.zeros(1, 1))


@pytest.mark.parametrize(("accumulated", "steps"), [(1, 2.0), (2, 1.0)])
@pytest.mark.parametrize("sizes", [{"image": 3, "text": 1}, None])
def test_steps_and_samples_a_second(tmp_path, monkeypatch, accumulated, steps, sizes):
    module = Timed()
    clock = SimpleNamespace(perf_counter=lambda: module.now)
    monkeypatch.setattr(training_speed, "time", clock)
    trainer = make_trainer(
        tmp_path,
        TrainingSpeed(),
        logger=CSVLogger(tmp_path, "", ""),
        max_epochs=2,
        log_every_n_steps=2,
        limit_val_batches=1.0,
        val_check_interval=3,
        accumulate_grad_batches=accumulated,
    )
    trainer.fit(module, Batches(sizes))
    with open(tmp_path / "metrics.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["speed/steps_per_second"]]
    # Every second step of sixteen batches.
    assert len(rows) == 16 // accumulated // 2
    assert {float(row["speed/steps_per_second"]) for row in rows} == {steps}
    found = {row.get("speed/samples_per_second") for row in rows}
    assert found == ({"8.0"} if sizes else {None})  # four samples in half a second
