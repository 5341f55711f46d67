"""Runs that are resumed twice see what one that was left alone sees."""

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from showo_turbo.callbacks import StepCheckpoint
from showo_turbo.training.checkpoint_io import ExactResume

BATCHES, EPOCHS = 4, 4


class Batches:
    """A loader that can be resumed."""

    def __init__(self):
        self.done = 0

    def __len__(self):
        return BATCHES

    def __iter__(self):
        self.done %= BATCHES
        while self.done < BATCHES:
            self.done += 1
            yield torch.tensor([self.done])

    def state_dict(self):
        return {"done": self.done}

    def load_state_dict(self, state):
        self.done = state["done"]


class Diary(LightningModule):
    """Writes down every batch, and every validation."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def training_step(self, batch, batch_index):
        self.seen.append((self.trainer.current_epoch, batch_index, int(batch)))
        return -self.weight

    def validation_step(self, batch, batch_index):
        self.seen.append((self.trainer.current_epoch, "validation"))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)

    def train_dataloader(self):
        return Batches()

    def val_dataloader(self):
        return DataLoader(torch.zeros(1, 1))


def fit(folder, kind, resume_from=None):
    names = {"save_top_k": -1, "auto_insert_metric_name": False}
    module = Diary()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        logger=False,
        callbacks=[
            ExactResume(),
            kind(folder, filename="{step}", every_n_train_steps=1, **names),
            ModelCheckpoint(folder, filename="end-{epoch}", every_n_epochs=1, **names),
        ],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
    )
    trainer.fit(module, ckpt_path=resume_from)
    return module.seen


def batches_only(seen):
    return [entry for entry in seen if "validation" not in entry]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folders = {kind: tmp_path_factory.mktemp("whole") for kind in (ModelCheckpoint, StepCheckpoint)}
    return {kind: (folder, fit(folder, kind)) for kind, folder in folders.items()}


@pytest.mark.parametrize("second", ["5", "8", "end-1", "10"])
@pytest.mark.parametrize("first", ["3", "4", "end-0"])
def test_resumed_twice(whole, tmp_path, first, second):
    """Validations too; with Lightning's own, that of an epoch's last step is left out."""
    for kind, (folder, seen) in whole.items():
        once = tmp_path / kind.__name__
        fit(once, kind, folder / f"{first}.ckpt")
        again = fit(once / "again", kind, once / f"{second}.ckpt")
        assert batches_only(again) == batches_only(seen)[-len(batches_only(again)) :]
        steps = torch.load(once / f"{second}.ckpt", weights_only=True)["global_step"]
        assert len(batches_only(again)) == EPOCHS * BATCHES - steps
        if kind is StepCheckpoint:
            assert again == seen[-len(again) :]
            assert again[0] != (again[0][0], "validation")


def test_the_last_step_waits_for_the_end_of_the_epoch(whole):
    for kind, waits in ((ModelCheckpoint, False), (StepCheckpoint, True)):
        folder, _ = whole[kind]
        state = torch.load(folder / f"{BATCHES}.ckpt", weights_only=True)["loops"]["fit_loop"]
        assert (state["epoch_progress"]["current"]["processed"] == 1) is waits
    names = [{path.name for path in folder.iterdir()} for folder, _ in whole.values()]
    assert names[0] == names[1]


def test_where_they_go(tmp_path):
    """Into the run's own folder, also where a logger has one of its own."""
    logger = CSVLogger(tmp_path / "logs")
    for place, options in (("run/checkpoints", {}), ("named", {"dirpath": tmp_path / "named"})):
        trainer = Trainer(
            accelerator="cpu",
            default_root_dir=tmp_path / "run",
            max_epochs=1,
            logger=logger,
            callbacks=[StepCheckpoint(save_last=True, **options)],
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Diary())
        assert (tmp_path / place / "last.ckpt").is_file()
    assert not list((tmp_path / "logs").rglob("*.ckpt"))


def test_the_last_one_is_a_link_that_always_leads_somewhere(tmp_path, monkeypatch):
    folder = tmp_path / "run/checkpoints"
    led_to = []
    given = ModelCheckpoint._remove_checkpoint

    def noted(callback, trainer, path):
        given(callback, trainer, path)
        led_to.append(torch.load(folder / "last.ckpt", weights_only=True)["global_step"])

    monkeypatch.setattr(ModelCheckpoint, "_remove_checkpoint", noted)
    module = Diary()
    trainer = Trainer(
        accelerator="cpu",
        default_root_dir=tmp_path / "run",
        max_epochs=2,
        logger=False,
        callbacks=[StepCheckpoint(save_last="link", every_n_train_steps=1, filename="{step}")],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module)
    assert led_to == list(range(2, 2 * BATCHES + 1))
    names = {path.name for path in folder.iterdir()}
    assert names == {"last.ckpt", f"step={2 * BATCHES}.ckpt"}
    assert (folder / "last.ckpt").is_symlink()
    (tmp_path / "run").rename(tmp_path / "moved")
    last = torch.load(tmp_path / "moved/checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 2 * BATCHES
