import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.trajectories.batch import collate_image_trajectories, collate_text_trajectories
from showo_turbo.trajectories.batch_file import load_batch, save_batch

from .conftest import random_image_record, text_record


@pytest.fixture
def batch():
    return {
        "image": collate_image_trajectories(
            [random_image_record(seed) for seed in (0, 1)], [1, 6], segments=4, mask_code=24
        ),
        "text": collate_text_trajectories([text_record()], [[0, 0]], segments=2),
        "language": {"text": ["one", "zwei é"], "seed": [3, 2**62]},
    }


def test_a_batch_comes_back_as_it_was(batch, tmp_path):
    save_batch(tmp_path / "batch.safetensors", batch)
    again = load_batch(tmp_path / "batch.safetensors")
    assert again.keys() == batch.keys()
    assert again["language"] == batch["language"]
    for stream in ("image", "text"):
        assert type(again[stream]) is type(batch[stream])
        for name, value in batch[stream]._asdict().items():
            given = getattr(again[stream], name)
            same = torch.equal(given, value) if torch.is_tensor(value) else given == value
            assert same, name


def test_numbers_that_are_none_come_back_too(tmp_path):
    value = torch.tensor([float("nan"), float("inf"), -0.0])
    save_batch(tmp_path / "batch.safetensors", {"pixels": value})
    again = load_batch(tmp_path / "batch.safetensors")["pixels"]
    assert again.view(torch.int32).equal(value.view(torch.int32))


@pytest.mark.bad_input
def test_what_is_no_batch_is_refused(batch, tmp_path):
    path = tmp_path / "batch.safetensors"
    with pytest.raises(UserError, match="does not exist"):
        load_batch(path)
    save_batch(path, batch)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match="holds no training batch"):
        load_batch(path)
