from pathlib import Path
from typing import Any

import pytest
import torch

from showo_turbo.data import (
    CaptionFiles,
    ImageDataModule,
    InstructionFiles,
    PretrainBatchSizes,
    PretrainDataModule,
    TextFiles,
)
from showo_turbo.errors import UserError
from showo_turbo.shapes import ShapesWorld

SIZES = PretrainBatchSizes(image=3, text=2, language=1)


def world(folder: Path) -> ShapesWorld:
    return ShapesWorld(folder / "world", images=8, documents=5, validation_images=4, seed=3)


def test_photographs_and_shapes_go_the_same_way(photographs: Any, tmp_path: Path) -> None:
    captions = CaptionFiles(photographs.images, photographs.captions)
    instructions = InstructionFiles(photographs.root, photographs.instructions)
    modules = {
        256: PretrainDataModule(
            resolution=256,
            captions=captions,
            instructions=instructions,
            web_text=TextFiles([photographs.texts]),
            val_instructions=instructions,
            batch_sizes=SIZES,
            val_batch_size=4,
        ),
        24: PretrainDataModule(
            resolution=24, batch_sizes=SIZES, val_batch_size=4, shapes=world(tmp_path)
        ),
    }
    for resolution, data in modules.items():
        data.prepare_data()
        data.setup("fit")
        batch = next(iter(data.train_dataloader()))
        assert list(batch) == ["image", "text", "language"]
        assert batch["image"]["pixels"].shape == (3, 3, resolution, resolution)
        assert batch["text"]["pixels"].shape == (2, 3, resolution, resolution)
        assert batch["image"]["pixels"].abs().max() <= 1
        assert list(map(len, (batch["image"]["caption"], batch["text"]["answer"]))) == [3, 2]
        assert not any("<image>" in question for question in batch["text"]["question"])
        assert len(batch["language"]["text"]) == len(batch["language"]["seed"]) == 1
        names = ("prompts", "instructions") if resolution == 24 else ("instructions",)
        for name, loader in zip(names, data.val_dataloader(), strict=True):
            batches = list(loader)
            assert all(list(batch) == [name] for batch in batches)
            indices = [index for batch in batches for index in batch[name]["index"]]
            assert indices == list(range(len(indices)))


def test_two_runs_with_one_seed_are_the_same(tmp_path: Path) -> None:
    def first_batch(seed: int) -> dict[str, Any]:
        data = PretrainDataModule(
            resolution=24, batch_sizes=SIZES, seed=seed, shapes=world(tmp_path)
        )
        data.prepare_data()
        data.setup("fit")
        return next(iter(data.train_dataloader()))

    first, again, other = first_batch(1), first_batch(1), first_batch(2)
    assert torch.equal(first["image"]["pixels"], again["image"]["pixels"])
    assert first["image"]["caption"] == again["image"]["caption"]
    assert first["image"]["seed"] != other["image"]["seed"]


def test_files_that_are_named_come_before_the_world(photographs: Any, tmp_path: Path) -> None:
    data = PretrainDataModule(
        resolution=24,
        captions=CaptionFiles(photographs.images, photographs.captions),
        shapes=world(tmp_path),
    )
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert set(batch["image"]["image_id"]) == {1000, 999, 998, 997, 996, 995}
    assert len(batch["language"]["text"]) == 4


def test_records_without_an_image_are_reported(
    photographs: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        InstructionFiles(photographs.root, photographs.instructions).open(8)
    assert "left out 1 records without an image, 12 questions remain" in caplog.text


def test_images_alone_come_flat(tmp_path: Path) -> None:
    data = ImageDataModule(resolution=24, batch_size=4, val_batch_size=3, shapes=world(tmp_path))
    data.prepare_data()
    data.setup("fit")
    batches = list(data.train_dataloader())
    assert len(batches) == 2
    batch = data.on_before_batch_transfer(batches[0], 0)
    assert batch["pixels"].shape == (4, 3, 24, 24)
    (loader,) = data.val_dataloader()
    sizes = [len(data.on_before_batch_transfer(batch, 0)["pixels"]) for batch in loader]
    assert sizes == [3, 1]


@pytest.mark.bad_input
def test_missing_files_are_explained(tmp_path: Path) -> None:
    data = PretrainDataModule(resolution=24)
    with pytest.raises(UserError, match="captions is missing"):
        data.setup("fit")
    data = PretrainDataModule(resolution=24, captions=CaptionFiles(tmp_path, tmp_path / "no.json"))
    with pytest.raises(UserError, match=r"no\.json does not exist"):
        data.setup("fit")
