"""What collecting and training write: good files, and what reads them."""

import io
from dataclasses import asdict

import torch
from rich.console import Console
from safetensors.torch import save_file

from showo_turbo.cli.run_folder import RunFolder
from showo_turbo.data.trajectory_streams import ImageTrajectoryStream, TextTrajectoryStream
from showo_turbo.models.weight_files import load_state
from showo_turbo.training.checkpoint_io import checkpoint_fault
from showo_turbo.training.incident import INCIDENT_FILE, batch_name
from showo_turbo.trajectories import StoreIdentity, TrajectoryStore, describe_store
from showo_turbo.trajectories.batch import collate_image_trajectories
from showo_turbo.trajectories.batch_file import save_batch
from showo_turbo.trajectories.shards import pack_images, pack_texts
from showo_turbo.utils.lock import LOCK_NAME, OWNER_SUFFIX, folder_lock

from ..trajectories.conftest import random_image_record, text_record
from .files import draw_all, written

MASK_CODE = 24

IMAGES = StoreIdentity(
    "images", "t" * 64, "p" * 64, 3, 2, {"sampling.sampling_steps": 8, "segments": 4, "w": None}
)
TEXTS = StoreIdentity("texts", "t" * 64, "p" * 64, 2, 2, {"decoding.block_size": 4, "text": "a"})


def finished(folder, identity):
    store = TrajectoryStore.create_or_continue(folder, identity)
    for index in store.pending():
        numbers = identity.shard_prompts(index)
        if identity.kind == "images":
            tensors = pack_images([random_image_record(number) for number in numbers], 16)
            totals = {"kept_mass": 9.5, "positions": 48}
        else:
            tensors = pack_texts([text_record(f"k{number}") for number in numbers], 4)
            totals = {"blocks": 2 * len(numbers), "iterations": 8, "answer_tokens": 12}
        store.write_shard(index, tensors, samples=len(numbers), totals=totals)
    store.finish()
    return store


def a_manifest(identity):
    return lambda folder: finished(folder / "store", identity).folder / "manifest.json"


def a_shard(identity):
    return lambda folder: finished(folder / "store", identity).shard_path(0)


def a_note(folder):
    """What lies beside a finished shard while others are yet to be made."""
    store = finished(folder / "store", IMAGES)
    whole = store.manifest.shards[0]
    (store.folder / "manifest.json").unlink()
    for path in store.shard_paths():
        path.rename(folder / path.name)
    store = TrajectoryStore.create_or_continue(store.folder, IMAGES)
    (folder / whole.file).rename(store.shard_path(0))
    return written(store.shard_path(0).with_suffix(".json"), asdict(whole))


def read_description(path):
    Console(file=io.StringIO()).print(describe_store(path.parent))


def read_images_of_store(path):
    _collate_all(ImageTrajectoryStream(path.parent, MASK_CODE, segments=4))


def read_texts_of_store(path):
    _collate_all(TextTrajectoryStream(path.parent, segments=2))


def _collate_all(stream):
    items = list(draw_all(stream))
    if items:
        stream.collate(items)


def continue_store(path):
    """As a collection does that begins again."""
    TrajectoryStore.create_or_continue(path.parent, IMAGES).pending()


def a_batch(folder):
    records = [random_image_record(seed) for seed in range(2)]
    batch = {
        "image": collate_image_trajectories(records, [0, 5], segments=4, mask_code=MASK_CODE),
        "language": {"text": ["a", "b"], "seed": [1, 2]},
    }
    save_batch(folder / batch_name(0, 0), batch)
    return folder / batch_name(0, 0)


def an_incident(folder):
    written(folder / batch_name(0, 0), b"")
    incident = {"settings": {"weights": {"language": 0.1}}, "losses": {}, "precision": "32"}
    return written(folder / INCIDENT_FILE, incident)


def a_lock(folder):
    note = folder / f"{LOCK_NAME}{OWNER_SUFFIX}"
    return written(note, {"host": "a", "pid": 7, "since": 1, "command": "b"})


def take_lock(path):
    with folder_lock(path.parent):
        pass


def notes(folder):
    return written(folder / "index.jsonl", b'{"file": "a.png", "seed": 1}\n{"file": "b.png"}\n')


def read_notes(path):
    written(path.with_name("settings.json"), {"steps": 4})
    notes = RunFolder(path.parent, {"steps": 4}, path.name, key="file").notes
    assert all(isinstance(name, str) for name in notes)


STATE = {"a.weight": torch.arange(12.0).view(3, 4), "b": torch.ones(2, dtype=torch.float16)}


def weights(folder):
    save_file(STATE, folder / "pytorch_model.safetensors", metadata={"format": "pt"})
    return folder / "pytorch_model.safetensors"


def pickled_weights(folder):
    torch.save(STATE, folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin"


def read_weights(path):
    assert all(isinstance(value, torch.Tensor) for value in load_state(path.parent).values())


def checkpoint(folder):
    progress = {"global_step": 3, "epoch": 1, "optimizer_states": [], "loops": {}}
    torch.save(progress | {"state_dict": STATE}, folder / "last.ckpt")
    return folder / "last.ckpt"


def judge_checkpoint(path):
    assert checkpoint_fault(path) is None or "\n" not in checkpoint_fault(path)
