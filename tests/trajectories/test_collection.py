import errno
import os
import shutil
import subprocess

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from showo_turbo.errors import UserError
from showo_turbo.trajectories import StoreIdentity, TrajectoryStore
from showo_turbo.trajectories.collection import Processes, ShardContent, batches, collect
from showo_turbo.utils.lock import folder_lock

from .conftest import content

IDENTITY = StoreIdentity("images", "t", "p", 5, 2, {})


@pytest.fixture
def store(tmp_path):
    return TrajectoryStore.create_or_continue(tmp_path / "store", IDENTITY)


def make_shard(indices, advance):
    advance(len(indices))
    return ShardContent({"codes": torch.tensor(list(indices))}, len(indices))


def write(store, index):
    content = make_shard(store.identity.shard_prompts(index), lambda _: None)
    store.write_shard(index, content.tensors, samples=content.samples)


def test_the_first_process_finishes_after_all_have_written(store):
    calls = []

    def barrier():
        calls.append(store.pending())
        if len(calls) == 2:
            write(store, 1)  # what the other process was still busy with

    finished = collect(nn.Identity(), store, make_shard, Processes(0, 2, barrier), progress=False)
    assert calls == [[0, 1, 2], [1], []]
    assert finished.num_samples == 5


def test_other_processes_open_the_store_after_it_was_finished(store):
    calls = []

    def barrier():
        calls.append(store.pending())
        if len(calls) == 3:
            write(store, 0)
            write(store, 2)
            TrajectoryStore.inspect(store.folder).finish()

    finished = collect(nn.Identity(), store, make_shard, Processes(1, 2, barrier), progress=False)
    assert calls == [[0, 1, 2], [0, 2], [0, 2]]
    assert finished.complete


@pytest.mark.parametrize("name", [".images-00001.safetensors.x1y2z3w4.tmp", ".tmpA1b2C3"])
def test_what_a_killed_process_left_half_written_is_removed(store, name):
    (store.folder / name).write_bytes(b"half")
    collect(nn.Identity(), store, make_shard, progress=False)
    assert not [path for path in store.folder.iterdir() if path.name.startswith(".")]


def test_another_run_on_the_same_store_is_refused(store):
    write(store, 0)
    before = content(store.folder)
    with (
        folder_lock(store.folder),
        pytest.raises(UserError, match=r"is being written by process \d+ on"),
    ):
        collect(nn.Identity(), store, make_shard, progress=False)
    assert content(store.folder) == before


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        # What safetensors says, from Rust.
        SafetensorError('IoError(Os { code: 28, message: "No space left on device" })'),
    ],
    ids=["system", "safetensors"],
)
def test_a_full_disk_ends_with_a_message_and_the_collection_continues(store, monkeypatch, error):
    def full(*_):
        raise error

    write(store, 0)
    with monkeypatch.context() as patch:
        patch.setattr("showo_turbo.trajectories.store.save_file", full)
        with pytest.raises(UserError, match=r"images-00001.* no space is left"):
            collect(nn.Identity(), store, make_shard, progress=False)
    assert sorted(content(store.folder)) == [
        "images-00000.json",
        "images-00000.safetensors",
        "manifest.json",
    ]
    assert store.pending() == [1, 2]
    assert collect(nn.Identity(), store, make_shard, progress=False).num_samples == 5


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for little."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full(small_disk):
    """Three shards of 16 KB each; the ballast leaves room for one."""

    def make(indices, advance):
        return ShardContent({"codes": torch.ones(4096)}, len(indices))

    store = TrajectoryStore.create_or_continue(small_disk / "store", IDENTITY)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(212 * 1024))
    with pytest.raises(UserError, match="no space is left"):
        collect(nn.Identity(), store, make, progress=False)
    assert store.pending() == [1, 2]
    ballast.unlink()
    assert collect(nn.Identity(), store, make, progress=False).num_samples == 5


@pytest.mark.parametrize("training", [True, False])
def test_the_teacher_is_in_evaluation_mode_meanwhile_even_if_it_fails(store, training):
    teacher = nn.Dropout().train(training)

    def fail(indices, advance):
        assert not teacher.training
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(teacher, store, fail, progress=False)
    assert teacher.training is training


def test_only_what_is_pending_is_counted_in_the_progress(store, capsys):
    write(store, 0)
    collect(nn.Identity(), store, make_shard)
    shown = capsys.readouterr().err
    assert "collecting images" in shown
    assert "3/3" in shown


def test_batches_cover_a_shard_and_no_more():
    assert list(batches(range(4, 9), 2, lambda _: 1)) == [[4, 5], [6, 7], [8]]
    assert list(batches(range(4, 9), 2, lambda index: -index)) == [[8, 7], [6, 5], [4]]
