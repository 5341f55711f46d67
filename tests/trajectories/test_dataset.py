import pickle

import pytest
import torch
from torch.utils.data import DataLoader

from showo_turbo.errors import UserError
from showo_turbo.trajectories import (
    ImageTrajectoryDataset,
    StoreIdentity,
    TextTrajectoryDataset,
    TrajectoryStore,
)
from showo_turbo.trajectories.shards import pack_images, pack_texts

from .conftest import random_image_record, text_record

STEPS = "sampling.sampling_steps"


@pytest.fixture
def images(tmp_path):
    """Five records in shards of two."""
    records = [random_image_record(seed) for seed in range(5)]
    identity = StoreIdentity("images", "t", "p", 5, 2, {STEPS: 8, "segments": 4})
    store = TrajectoryStore.create_or_continue(tmp_path / "images", identity)
    for index in store.pending():
        shard = [records[i] for i in identity.shard_prompts(index)]
        store.write_shard(index, pack_images(shard, 16), samples=len(shard))
    store.finish()
    return store, records


def same(got, want):
    return all(
        torch.equal(getattr(got, name), value)
        if isinstance(value, torch.Tensor)
        else getattr(got, name) == value
        for name, value in vars(want).items()
    )


def test_records_come_back_in_order_from_any_shard(images):
    store, records = images
    for dataset in (ImageTrajectoryDataset(store), ImageTrajectoryDataset(str(store.folder))):
        assert len(dataset) == 5
        assert all(same(dataset[i], records[i]) for i in (4, 0, 3, 1, 2))
        assert same(dataset[-1], records[4])


@pytest.mark.parametrize("index", [5, -6])
def test_indices_out_of_range_are_index_errors(images, index):
    with pytest.raises(IndexError):
        ImageTrajectoryDataset(images[0])[index]


def test_a_read_data_set_can_be_pickled(images):
    dataset = ImageTrajectoryDataset(images[0])
    dataset[0]
    again = pickle.loads(pickle.dumps(dataset))
    assert same(again[3], images[1][3])


def test_worker_processes_read_on_their_own(images):
    store, records = images
    dataset = ImageTrajectoryDataset(store)
    dataset[0]  # opens a file before the workers are forked
    loader = DataLoader(dataset, batch_size=2, num_workers=2, collate_fn=list)
    got = [record for batch in loader for record in batch]
    assert all(same(a, b) for a, b in zip(got, records, strict=True))


def test_codebooks_beyond_sixteen_bits_survive(tmp_path):
    record = random_image_record()
    for name in ("codes", "top_ids", "boundary_top_ids"):
        setattr(record, name, getattr(record, name).int() + 100_000)
    identity = StoreIdentity("images", "t", "p", 1, 1, {STEPS: 8, "segments": 4})
    store = TrajectoryStore.create_or_continue(tmp_path / "s", identity)
    store.write_shard(0, pack_images([record], 16), samples=1)
    store.finish()
    assert same(ImageTrajectoryDataset(store)[0], record)


def test_one_segment_needs_no_boundaries(tmp_path):
    records = [random_image_record(seed, segments=1) for seed in range(2)]
    assert records[0].boundary_top_ids.shape == (0, 3)
    identity = StoreIdentity("images", "t", "p", 2, 2, {STEPS: 8, "segments": 1})
    store = TrajectoryStore.create_or_continue(tmp_path / "s", identity)
    store.write_shard(0, pack_images(records, 16), samples=2)
    store.finish()
    dataset = ImageTrajectoryDataset(store)
    assert same(dataset[1], records[1])
    assert torch.equal(dataset[1].distribution(3, 1)[0], records[1].top_ids.long())


def test_answers_are_found_across_shards(tmp_path):
    records = [text_record(f"k{i}", answer=(5, 6, 7, 8, i, 29)) for i in range(3)]
    identity = StoreIdentity("texts", "t", "p", 6, 2, {"decoding.block_size": 4})
    store = TrajectoryStore.create_or_continue(tmp_path / "s", identity)
    for index, shard in enumerate([records[:1], [], records[1:]]):
        store.write_shard(
            index,
            pack_texts(shard, 4),
            samples=len(shard),
            totals={"blocks": 2 * len(shard)},
        )
    store.finish()
    dataset = TextTrajectoryDataset(store)
    assert [dataset[i].key for i in range(len(dataset))] == ["k0", "k1", "k2"]
    assert dataset[-1].key == "k2"
    trajectory = dataset[2]
    assert trajectory.answer_ids.tolist() == [5, 6, 7, 8, 2, 29]
    assert [block.tolist() for block in trajectory.blocks] == [
        block.tolist() for block in records[2].blocks
    ]
    assert dataset.lengths() == [
        len(record.image) + len(record.prompt_ids) + 6 + 2 * 2 * 4 for record in records
    ]


@pytest.mark.bad_input
def test_stores_of_the_other_kind_are_refused(images):
    with pytest.raises(UserError, match="holds trajectories of images"):
        TextTrajectoryDataset(images[0])


@pytest.mark.bad_input
def test_an_altered_shard_of_a_folder_is_refused(images):
    path = images[0].shard_path(1)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"images-00001.*checksum differs"):
        ImageTrajectoryDataset(images[0].folder)


@pytest.mark.bad_input
def test_a_shard_that_vanishes_while_in_use_gives_one_clear_line(images):
    store, _ = images
    dataset = ImageTrajectoryDataset(store)
    store.shard_path(1).unlink()
    with pytest.raises(UserError, match=r"images-00001.*cannot be read.*collect"):
        dataset[2]
    with pytest.raises(UserError, match=r"images-00001.*is missing"):
        ImageTrajectoryDataset(store)
