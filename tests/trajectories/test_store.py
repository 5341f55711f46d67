import dataclasses
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.trajectories import ModelIdentity, StoreIdentity, TrajectoryStore
from showo_turbo.trajectories import store as store_module
from showo_turbo.trajectories.manifest import Manifest
from showo_turbo.utils.files import sha256_of
from showo_turbo.utils.remembered import CACHE_VARIABLE

from .conftest import content

pytestmark = pytest.mark.bad_input


def identity(**changes):
    values = {
        "kind": "images",
        "teacher": "a" * 64,
        "prompts": "b" * 64,
        "num_prompts": 5,
        "shard_size": 2,
        "settings": {"steps": 8, "guidance_scale": 1.5},
        "model": ModelIdentity("showo", 16, 24, 30, "c" * 64),
    }
    return StoreIdentity(**(values | changes))


def write(store, index):
    samples = len(store.identity.shard_prompts(index))
    store.write_shard(
        index,
        {"codes": torch.full((samples, 3), index)},
        samples=samples,
        filtered={"unfinished": index},
        totals={"positions": 3 * samples, "kept_mass": 1.5 * samples},
    )


@pytest.fixture
def finished(tmp_path):
    store = TrajectoryStore.create_or_continue(tmp_path / "store", identity())
    for index in store.pending():
        write(store, index)
    store.finish()
    return store


def test_a_finished_store_tells_what_it_holds(finished):
    store = TrajectoryStore.open(finished.folder, kind="images", teacher="a" * 64)
    assert store.identity == identity()
    assert store.complete
    assert store.num_samples == 5
    assert store.filtered == {"unfinished": 3}
    assert store.mean_kept_mass == 0.5
    assert [path.name for path in store.shard_paths()] == [
        "images-00000.safetensors",
        "images-00001.safetensors",
        "images-00002.safetensors",
    ]
    assert sorted(content(store.folder)) == [
        *(path.name for path in store.shard_paths()),
        "manifest.json",
    ]
    assert store.pending() == []
    manifest = json.loads((store.folder / "manifest.json").read_text())
    assert manifest["samples"] == 5
    assert manifest["mean_kept_mass"] == 0.5


def test_shards_are_compared_with_their_checksums_once(finished, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    later = time.time_ns() + 3600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    read = []

    def noted(path):
        read.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr(store_module, "sha256_of", noted)
    reopened = TrajectoryStore.open(finished.folder)
    names = [path.name for path in finished.shard_paths()]
    assert read == names
    TrajectoryStore.open(finished.folder)
    assert reopened.pending() == [] and reopened.pending(1, 2) == []
    reopened.finish()
    assert read == [*names, names[1]], "of a part of the processes nothing was known yet"
    time.sleep(0.02)
    shard = finished.shard_path(1)
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match="is damaged"):
        TrajectoryStore.open(finished.folder)
    assert reopened.pending(1, 2) == [1]


def test_prompts_are_dealt_to_shards_in_order():
    assert [list(identity().shard_prompts(i)) for i in range(identity().num_shards)] == [
        [0, 1],
        [2, 3],
        [4],
    ]


def test_shards_are_dealt_to_processes_in_turn(tmp_path):
    store = TrajectoryStore.create_or_continue(tmp_path / "store", identity())
    assert store.pending(rank=0, world_size=2) == [0, 2]
    assert store.pending(rank=1, world_size=2) == [1]
    assert store.pending(rank=5, world_size=7) == []


def test_an_interrupted_store_is_continued_and_ends_with_the_same_bytes(tmp_path, finished):
    folder = tmp_path / "interrupted"
    store = TrajectoryStore.create_or_continue(folder, identity())
    write(store, 1)
    with pytest.raises(UserError, match="unfinished"):
        TrajectoryStore.open(folder)
    again = TrajectoryStore.create_or_continue(folder, identity())
    assert again.pending() == [0, 2]
    for index in again.pending():
        write(again, index)
    again.finish()
    assert content(folder) == content(finished.folder)
    assert again.fingerprint == finished.fingerprint


def test_finishing_early_names_the_missing_shard(tmp_path):
    store = TrajectoryStore.create_or_continue(tmp_path / "store", identity())
    write(store, 0)
    with pytest.raises(UserError, match=r"images-00001.safetensors is missing"):
        store.finish()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": "c" * 64}, r"teacher is aaaaaaaaaaaa\.\.\. there but cccccccccccc\.\.\. is"),
        ({"num_prompts": 6}, "num_prompts is 5 there but 6 is asked for"),
        (
            {"settings": {"steps": 16, "guidance_scale": 1.5}},
            r"settings\.steps is 8 there but 16 is",
        ),
        ({"settings": {"steps": 8}}, r"settings\.guidance_scale is 1\.5 there but None is"),
    ],
)
def test_a_store_made_otherwise_is_refused_by_field_and_left_alone(finished, changes, message):
    before = content(finished.folder)
    with pytest.raises(UserError, match=message) as error:
        TrajectoryStore.create_or_continue(finished.folder, identity(**changes))
    assert "\n" not in str(error.value)
    assert content(finished.folder) == before


def test_all_differences_are_named():
    other = identity(teacher="c" * 64, shard_size=3)
    assert len(identity().differences(other)) == 2
    assert identity().differences(identity()) == []


def test_a_store_from_before_an_option_was_made_with_its_default():
    before = identity(settings={"sampling.sampling_steps": 8})
    for base, differences in (("image", 0), ("unknown", 1)):
        now = {"sampling.sampling_steps": 8, "sampling.schedule_base": base}
        assert len(before.differences(identity(settings=now))) == differences


def test_another_teacher_or_kind_is_refused_on_reading(finished):
    with pytest.raises(
        UserError, match=r"was made by teacher a{12}\.\.\., but the teacher is c{12}"
    ):
        TrajectoryStore.open(finished.folder, teacher="c" * 64)
    with pytest.raises(UserError, match="holds trajectories of images"):
        TrajectoryStore.open(finished.folder, kind="texts")


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "link"])
def test_damaged_and_missing_shards_are_refused_then_replaced(finished, damage, caplog, tmp_path):
    before = content(finished.folder)
    path = finished.shard_path(1)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-1] ^= 1
        path.write_bytes(data)
    elif damage == "truncate":
        path.write_bytes(data[:-4])
    else:
        path.unlink()
        if damage == "link":
            (tmp_path / "elsewhere").write_bytes(data)
            path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"images-00001.*run the same collect command again"):
        TrajectoryStore.open(finished.folder)

    store = TrajectoryStore.create_or_continue(finished.folder, identity())
    with caplog.at_level(logging.WARNING):
        assert store.pending() == [1]
    assert "images-00001.safetensors" in caplog.text
    write(store, 1)
    store.finish()
    assert content(store.folder) == before
    assert not store.shard_path(1).is_symlink()


def test_a_damaged_note_of_a_shard_makes_it_pending(tmp_path, caplog):
    store = TrajectoryStore.create_or_continue(tmp_path / "store", identity())
    write(store, 0)
    write(store, 1)
    (store.folder / "images-00000.json").write_text("{")
    (store.folder / "images-00001.json").write_text('{"file": "x"}')
    assert store.pending() == [0, 1, 2]
    assert caplog.text.count("is damaged") == 2


@pytest.mark.parametrize("what", ["another identity", "earlier code"])
def test_a_shard_whose_note_is_not_of_this_collection_is_pending(tmp_path, caplog, what):
    """Two processes that begin at once may each see no manifest, and write to one folder."""
    store = TrajectoryStore.create_or_continue(tmp_path / "store", identity())
    write(store, 0)
    assert store.pending() == [1, 2]
    if what == "another identity":
        other = TrajectoryStore(store.folder, Manifest(identity(settings={"steps": 4})))
        write(other, 0)
    else:
        note = store.folder / "images-00000.json"
        entry = json.loads(note.read_text())
        del entry["identity"]
        note.write_text(json.dumps(entry))
    assert store.pending() == [0, 1, 2]
    assert "is not of this collection" in caplog.text


def test_a_left_behind_note_does_not_undo_a_finished_store(finished):
    before = content(finished.folder)
    (finished.folder / "images-00000.json").write_text(
        json.dumps(dataclasses.asdict(finished.manifest.shards[0]))
    )
    store = TrajectoryStore.create_or_continue(finished.folder, identity())
    assert store.pending() == []
    store.finish()
    assert content(finished.folder) == before


def test_folders_with_other_files_are_refused(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"holds files but no manifest\.json"):
        TrajectoryStore.create_or_continue(tmp_path, identity())
    with pytest.raises(UserError, match="is a file"):
        TrajectoryStore.create_or_continue(tmp_path / "photo.png", identity())
    assert content(tmp_path) == {"photo.png": b""}


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        TrajectoryStore.open(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"manifest.json does not exist"):
        TrajectoryStore.open(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format="other"), "not a manifest of trajectories"),
        (lambda m: m.update(version=99), "format version 99; expected 3"),
        (lambda m: m.pop("identity"), "is damaged"),
        (lambda m: m["identity"].update(kind="sounds"), "kind is 'sounds'"),
        (lambda m: m["identity"].update(shard_size=0), "is damaged"),
        (lambda m: m["identity"].update(num_prompts="5"), "num_prompts is '5'"),
        (lambda m: m["identity"].update(settings=[]), "is damaged"),
        (lambda m: m.update(shards={}), "unfinished"),
        (lambda m: m["shards"][0].update(file="../images-00000.safetensors"), "is damaged"),
        (lambda m: m["shards"][0].update(file="/etc/passwd"), "is damaged"),
        (lambda m: m["shards"][0].update(samples=None), "is damaged"),
        (lambda m: m["shards"][0].update(totals=3), "is damaged"),
        (lambda m: m["shards"].__setitem__(0, m["shards"][1]), "unfinished"),
        (lambda m: m["shards"][0].update(sha256="0" * 64), "its checksum differs"),
    ],
)
def test_manifests_that_lie_are_refused(finished, change, message):
    path = finished.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=message) as error:
        TrajectoryStore.open(finished.folder)
    assert "\n" not in str(error.value)


def test_all_processes_look_before_the_first_begins_the_store(tmp_path, monkeypatch):
    """The second stops in the middle of looking, for as long as the first may take to write."""
    folder = tmp_path / "store"
    folder.mkdir()
    barrier = threading.Barrier(2, timeout=60)
    begun = threading.Event()
    list_folder, write_manifest = type(folder).iterdir, store_module.write_manifest

    def listed(path):
        if threading.current_thread().name == "process 1":
            begun.wait(0.5)
        return list_folder(path)

    def written(path, manifest):
        write_manifest(path, manifest)
        begun.set()

    def process(rank):
        threading.current_thread().name = f"process {rank}"
        return TrajectoryStore.create_or_continue(
            folder, identity(), rank=rank, barrier=barrier.wait
        )

    monkeypatch.setattr(type(folder), "iterdir", listed)
    monkeypatch.setattr(store_module, "write_manifest", written)
    with ThreadPoolExecutor(2) as pool:
        stores = list(pool.map(process, range(2)))
    assert begun.is_set()
    assert [store.identity for store in stores] == [identity()] * 2


def test_all_processes_refuse_a_folder_together(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"")

    def barrier():
        raise AssertionError("one of them waits for the others, which have ended")

    for rank in range(2):
        with pytest.raises(UserError, match="holds files but no"):
            TrajectoryStore.create_or_continue(tmp_path, identity(), rank=rank, barrier=barrier)


def test_nothing_is_left_of_a_shard_that_cannot_be_written(tmp_path):
    store = TrajectoryStore.create_or_continue(tmp_path / "store", identity())
    shared = torch.zeros(3)
    with pytest.raises(RuntimeError):
        store.write_shard(0, {"a": shared, "b": shared}, samples=2)
    assert list(content(store.folder)) == ["manifest.json"]


def test_identities_survive_json(tmp_path):
    value = identity(settings={"mask_schedule": "cosine", "steps": 8, "top": None, "w": 0.1})
    store = TrajectoryStore.create_or_continue(tmp_path / "store", value)
    again = TrajectoryStore.inspect(store.folder).identity
    assert again == value
    assert value.differences(again) == []
