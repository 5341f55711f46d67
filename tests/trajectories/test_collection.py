import pytest
import torch
from torch import nn

from showo_turbo.trajectories import StoreIdentity, TrajectoryStore
from showo_turbo.trajectories.collection import ShardContent, batches, collect

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
        if len(calls) == 1:
            write(store, 1)  # what the other process was still busy with

    finished = collect(
        nn.Identity(), store, make_shard, world_size=2, barrier=barrier, progress=False
    )
    assert calls == [[1], []]
    assert finished.num_samples == 5


def test_other_processes_open_the_store_after_it_was_finished(store):
    calls = []

    def barrier():
        calls.append(store.pending())
        if len(calls) == 2:
            write(store, 0)
            write(store, 2)
            TrajectoryStore.inspect(store.folder).finish()

    finished = collect(
        nn.Identity(), store, make_shard, rank=1, world_size=2, barrier=barrier, progress=False
    )
    assert calls == [[0, 2], [0, 2]]
    assert finished.complete


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
    shown = capsys.readouterr().out
    assert "collecting images" in shown
    assert "3/3" in shown


def test_batches_cover_a_shard_and_no_more():
    assert [list(batch) for batch in batches(range(4, 9), 2)] == [[4, 5], [6, 7], [8]]
