import os
import pickle

import pytest
import torch
from torch.distributed import checkpoint as sharded

from showo_turbo.errors import UserError
from showo_turbo.training.checkpoint_io import AtomicCheckpointIO, checkpoint_fault

WHOLE = {
    "global_step": 3,
    "epoch": 1,
    "state_dict": {"weight": torch.arange(100.0)},
    "optimizer_states": [],
    "loops": {},
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "checkpoints" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(WHOLE, path)
    return path


def test_what_was_saved_is_loaded(path):
    loaded = AtomicCheckpointIO().load_checkpoint(path, weights_only=True)
    assert loaded["global_step"] == 3
    assert torch.equal(loaded["state_dict"]["weight"], WHOLE["state_dict"]["weight"])
    assert checkpoint_fault(path) is None


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_not_good(path, fraction):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    assert checkpoint_fault(path) is not None


def test_an_altered_weight_is_found(path):
    data = bytearray(path.read_bytes())
    place = data.find(torch.tensor([50.0]).numpy().tobytes())
    assert place > 0
    data[place] ^= 1
    path.write_bytes(data)
    assert "checksum" in checkpoint_fault(path)


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1], {"global_step": 1, "epoch": 0}])
def test_what_no_run_resumes_from_is_not_good(path, content):
    torch.save(content, path)
    assert checkpoint_fault(path) == "holds no state of a training run"


class Evil:
    """Makes a folder where it is unpickled carelessly."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_code_is_not_run(path, tmp_path):
    torch.save(WHOLE | {"evil": Evil(tmp_path / "ran")}, path)
    assert "is not a complete checkpoint (it asks to run" in checkpoint_fault(path)


@pytest.mark.parametrize("weights_only", [None, False, True])
def test_code_is_not_run_whatever_is_asked_for(path, tmp_path, weights_only):
    torch.save(WHOLE | {"evil": Evil(tmp_path / "ran")}, path)
    with pytest.raises(pickle.UnpicklingError):
        AtomicCheckpointIO().load_checkpoint(path, weights_only=weights_only)
    assert not (tmp_path / "ran").exists()


def test_an_address_is_not_opened(path):
    with pytest.raises(FileNotFoundError):
        AtomicCheckpointIO().load_checkpoint(f"file://{path}")


@pytest.fixture
def shards(tmp_path):
    """A checkpoint that is sharded over processes, as PyTorch writes it."""
    folder = tmp_path / "last.ckpt"
    content = {"model": {"weight": torch.ones(2, dtype=torch.bfloat16)}, "rate": 0.1}
    sharded.save(content, checkpoint_id=folder, no_dist=True)
    torch.save({"global_step": 3, "epoch": 1}, folder / "meta.pt")
    return folder


def test_a_sharded_one_is_good_when_it_is_complete(shards):
    assert checkpoint_fault(shards) is None
    (shards / ".metadata").unlink()
    assert "has no .metadata" in checkpoint_fault(shards)
    (shards / "meta.pt").unlink()
    assert "has no meta.pt" in checkpoint_fault(shards)


@pytest.mark.bad_input
def test_a_sharded_one_without_one_of_its_parts(shards):
    (part,) = shards.glob("*.distcp")
    part.unlink()
    fault = checkpoint_fault(shards)
    assert fault == f"is incomplete: it has no {part.name}, the part of one process"


def test_code_in_a_sharded_one_is_not_run(shards, tmp_path):
    (shards / ".metadata").write_bytes(pickle.dumps({"a": Evil(tmp_path / "ran")}))
    fault = checkpoint_fault(shards)
    assert fault.startswith("has a damaged .metadata (it asks to run ") and "mkdir" in fault
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_failure_leaves_the_old_one(path, monkeypatch, failure):
    before = path.read_bytes()

    def save(checkpoint, file):
        file.write(before[:50])
        raise failure

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises((KeyboardInterrupt, UserError)):
        AtomicCheckpointIO().save_checkpoint(WHOLE, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_is_told_from_within_torch(path, monkeypatch):
    """PyTorch's writer reports a failing file as an error of its own."""

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, data):
            raise OSError(28, "No space left on device")

        def flush(self):
            pass

    save = torch.save
    monkeypatch.setattr(torch, "save", lambda content, file: save(content, Full(file)))
    with pytest.raises(UserError, match="no space is left"):
        AtomicCheckpointIO().save_checkpoint(WHOLE, path)
