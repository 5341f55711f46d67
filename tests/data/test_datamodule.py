"""The shared part of the DataModules, under a real Trainer."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from showo_turbo.data import (
    DistillationDataModule,
    ImageDataModule,
    LoaderOptions,
    PretrainDataModule,
    Stream,
    StreamDataset,
    StreamsDataModule,
)
from showo_turbo.data.datamodule import FIT_LIMIT
from showo_turbo.data.streams import SpreadStream
from showo_turbo.errors import UserError


class Numbers(StreamDataset):
    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def draw(self, index: int, seed: int) -> dict[str, Any]:
        return {"number": torch.tensor(index), "seed": seed}


class NumbersDataModule(StreamsDataModule):
    def __init__(self, batch_sizes: dict[str, int], size: int = 12, seed: int = 0) -> None:
        super().__init__(
            batch_sizes,
            val_batch_size=2,
            seed=seed,
            samples_per_epoch=None,
            loader=LoaderOptions(),
            shapes=None,
        )
        self.size = size

    def open_streams(self) -> dict[str, Stream]:
        return {"a": Numbers(self.size), "b": Numbers(5)}

    def open_evaluation_streams(self, stage: str) -> list[tuple[str, Stream]]:
        return [(stage, Numbers(3)), ("again", Numbers(1))]


class Recorder(LightningModule):
    """Trains nothing; notes what it is given.

    Without a backward pass it can be forked, whatever the tests before it have run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, list[int], list[int]]] = []
        self.evaluated: list[dict[str, Any]] = []

    def training_step(self, batch: dict[str, Any], batch_index: int) -> None:
        seeds = batch["a"]["seed"] + batch["b"]["seed"]
        self.seen.append((self.current_epoch, batch["a"]["number"].tolist(), seeds))
        self.optimizers().step()

    def validation_step(self, batch: Any, batch_index: int, dataloader_idx: int) -> None:
        self.evaluated.append(batch)

    test_step = validation_step

    def on_train_end(self) -> None:
        folder = Path(self.trainer.default_root_dir)
        (folder / f"rank{self.global_rank}.json").write_text(json.dumps(self.seen))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(
    folder: Path,
    *,
    epochs: int,
    reload: int = 0,
    devices: int = 1,
    size: int = 12,
    ckpt_path: Path | None = None,
) -> Recorder:
    folder.mkdir(exist_ok=True)
    module = Recorder()
    trainer = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=devices,
        strategy="ddp_fork" if devices > 1 else "auto",
        max_epochs=epochs,
        reload_dataloaders_every_n_epochs=reload,
        callbacks=[
            ModelCheckpoint(
                folder, filename="{step}", every_n_train_steps=1, save_top_k=-1, monitor=None
            )
        ],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = NumbersDataModule({"a": 3, "b": 2}, size)
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    return module


@pytest.mark.parametrize("reload", [0, 1])
def test_a_resumed_run_sees_what_the_first_would_have_seen(tmp_path: Path, reload: int) -> None:
    whole = fit(tmp_path, epochs=3, reload=reload).seen
    assert [epoch for epoch, _, _ in whole] == [0] * 4 + [1] * 4 + [2] * 4
    assert len({seed for _, _, seeds in whole for seed in seeds}) == 12 * 5
    for step in (1, 3, 4, 6, 8, 11):
        checkpoint = tmp_path / f"step={step}.ckpt"
        resumed = fit(tmp_path / "resumed", epochs=3, reload=reload, ckpt_path=checkpoint).seen
        assert resumed == whole[step:], step


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_another_number_of_devices_gets_the_rest_of_the_epoch(
    tmp_path: Path, before: int, after: int
) -> None:
    options = {"epochs": 2, "reload": 1, "size": 24}
    fit(tmp_path / "first", devices=before, **options)
    checkpoint = tmp_path / "first" / "step=2.ckpt"
    fit(tmp_path / "second", devices=after, ckpt_path=checkpoint, **options)

    alone = fit(tmp_path / "alone", **options).seen
    ranks = [
        json.loads((tmp_path / "second" / f"rank{rank}.json").read_text()) for rank in range(after)
    ]
    together = [batch for step in zip(*ranks, strict=True) for batch in step]
    assert together == [list(batch) for batch in alone[2 * before :]]


def test_evaluation_goes_through_one_stream_after_the_other(tmp_path: Path) -> None:
    module = Recorder()
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False
    )
    trainer.validate(module, datamodule=NumbersDataModule({"a": 1}), verbose=False)
    assert [list(batch) for batch in module.evaluated] == [["validate"], ["validate"], ["again"]]
    assert [batch["validate"]["index"] for batch in module.evaluated[:2]] == [[0, 1], [2]]
    module.evaluated.clear()
    trainer.test(module, datamodule=NumbersDataModule({"a": 1}), verbose=False)
    assert [list(batch) for batch in module.evaluated] == [["test"], ["test"], ["again"]]


def test_a_stream_with_batch_size_0_is_left_out() -> None:
    data = NumbersDataModule({"a": 0, "b": 2})
    data.setup("fit")
    loader = data.train_dataloader()
    assert len(loader) == 3  # the 5 samples of b decide
    assert [list(batch) for batch in loader] == [["b"]] * 3


@pytest.mark.bad_input
@pytest.mark.parametrize("sizes", [{}, {"a": 0}, {"a": 3, "b": -1}, {"a": 3, "b": None}])
def test_impossible_batch_sizes_are_refused(sizes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="expected at least 1 for one of the streams"):
        NumbersDataModule(sizes)


@pytest.mark.bad_input
def test_a_batch_size_without_data_is_refused() -> None:
    data = NumbersDataModule({"a": 1, "video": 2})
    data.setup("fit")
    with pytest.raises(UserError, match="no data for video, but a batch size"):
        data.train_dataloader()


def test_validation_within_fit_is_bounded() -> None:
    def drawn(data: NumbersDataModule) -> list[list[tuple[int, int]]]:
        found = []
        for loader in data.val_dataloader():
            batches = [batch for wrapped in loader for batch in wrapped.values()]
            pairs = [zip(batch["number"].tolist(), batch["seed"], strict=True) for batch in batches]
            found.append([pair for of_batch in pairs for pair in of_batch])
        return found

    data = NumbersDataModule({"a": 1})
    data.fit_limit = 2
    data.setup("fit")
    # Each sample is drawn as in a validation of all, with its place for a seed.
    assert drawn(data) == [[(0, 0), (1, 1)], [(0, 0)]]
    data.setup("validate")
    assert drawn(data) == [[(0, 0), (1, 1), (2, 2)], [(0, 0)]]


def test_samples_are_spread_over_a_stream() -> None:
    chosen = SpreadStream(Numbers(10), 4)
    drawn = [chosen.draw(index, seed=99) for index in range(len(chosen))]
    assert [int(item["number"]) for item in drawn] == [0, 2, 5, 7]
    assert [item["seed"] for item in drawn] == [0, 2, 5, 7]
    assert len(SpreadStream(Numbers(3), 4)) == 3


@pytest.mark.parametrize("kind", [DistillationDataModule, PretrainDataModule, ImageDataModule])
def test_it_is_bounded_by_default(kind: type) -> None:
    assert kind(24).fit_limit == FIT_LIMIT > 0
    assert kind(24, fit_limit=None).fit_limit is None


@pytest.mark.bad_input
def test_a_bound_of_none() -> None:
    with pytest.raises(UserError, match="fit_limit is 0"):
        ImageDataModule(24, fit_limit=0)
