"""The readers of files that others may have written, each with a good file to begin with."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from hypothesis.strategies import SearchStrategy
from PIL import Image
from rich.console import Console
from safetensors.torch import save_file

from showo_turbo.commands.prompt_sources import read_prompts
from showo_turbo.commands.run_folder import RunFolder
from showo_turbo.data.coco import COCOCaptions
from showo_turbo.data.images import load_image
from showo_turbo.data.llava import LLaVAInstructions
from showo_turbo.data.prompts import PromptFile
from showo_turbo.data.trajectory_streams import ImageTrajectoryStream, TextTrajectoryStream
from showo_turbo.data.web_text import WebText
from showo_turbo.models.checkpoints import load_state
from showo_turbo.training.checkpoint_io import checkpoint_fault
from showo_turbo.training.incident import INCIDENT_FILE, batch_name, read_incident
from showo_turbo.trajectories import StoreIdentity, TrajectoryStore, describe_store
from showo_turbo.trajectories.batch import collate_image_trajectories
from showo_turbo.trajectories.batch_file import load_batch, save_batch
from showo_turbo.trajectories.lock import LOCK_NAME, folder_lock
from showo_turbo.trajectories.shards import pack_images, pack_texts

from ..trajectories.conftest import random_image_record, text_record
from .mutations import (
    batch_files,
    damaged,
    json_files,
    lines_files,
    parquet_files,
    pickle_files,
    safetensors_files,
)

SIDE = 16
MASK_CODE = 24
AT_MOST = 9
"""Samples that are read of a file."""


@dataclass(frozen=True)
class Reader:
    """A reader under test.

    Attributes:
        name: What it reads.
        prepare: Makes a good file in a folder, with all that belongs to it, and gives its path.
        contents: From the good content, a strategy of others.
        reads: Ways to read the file; each raises nothing but `UserError`.
    """

    name: str
    prepare: Callable[[Path], Path]
    contents: Callable[[bytes], SearchStrategy[bytes]]
    reads: Sequence[Callable[[Path], object]]


def pass_over(error):
    """Leave out a bad sample."""


def written(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(json.dumps(content))
    return path


def picture(kind="PNG"):
    file = io.BytesIO()
    Image.linear_gradient("L").resize((SIDE, 2 * SIDE)).convert("RGB").save(file, kind)
    return file.getvalue()


def draw_all(dataset):
    for index in range(min(len(dataset), AT_MOST)):
        yield dataset.draw(index, seed=index)


# Annotations


def coco(folder):
    names = ["a.png", "b/c.png"]
    for name in names:
        written(folder / "images" / name, picture())
    images = [{"id": i, "file_name": name, "height": 9} for i, name in enumerate(names)]
    captions = [{"id": i, "image_id": i % 2, "caption": f"caption {i}"} for i in range(3)]
    return written(folder / "coco.json", {"images": images, "annotations": captions})


def read_coco(**options):
    def read(path):
        dataset = COCOCaptions(path.parent / "images", path, SIDE, **options)
        assert all(caption.strip() == caption != "" for caption in dataset.captions())
        for sample in draw_all(dataset):
            assert sample["pixels"].shape == (3, SIDE, SIDE)

    return read


def llava(folder):
    written(folder / "images/a.png", picture())
    turns = [
        {"from": "human", "value": "<image>\nWhat is it?"},
        {"from": "gpt", "value": "A gradient."},
    ]
    records = [{"id": "1", "image": "a.png", "conversations": turns * 2}, {"conversations": turns}]
    return written(folder / "llava.json", records)


def read_llava(**options):
    def read(path):
        images = path.parent / "images"
        dataset = LLaVAInstructions(images, path, SIDE, **options)
        assert all(place.is_relative_to(images) for place, _ in dataset.requests())
        for sample in draw_all(dataset):
            assert sample["question"] and sample["answer"] and isinstance(sample["id"], str)

    return read


def web_text(folder):
    texts = [f"document {i}, of some words" for i in range(7)] + [None]
    file = io.BytesIO()
    table = pa.table({"url": ["u"] * 8, "content": texts})
    pq.write_table(table, file, row_group_size=3, compression="snappy")
    return written(folder / "part.parquet", file.getvalue())


def read_web_text(path):
    dataset = WebText([path])
    for index in range(min(len(dataset), AT_MOST)):
        assert dataset.draw(index, 0)["text"].strip()


def prompts(folder):
    lines = [{"prompt": "a red circle", "tag": "single", "seed": 3}, {"prompt": "b", "tag": "two"}]
    return written(folder / "prompts.jsonl", "\n".join(map(json.dumps, lines)).encode())


def read_evaluation_prompts(path):
    assert all(sample["prompt"] and sample["category"] for sample in draw_all(PromptFile(path, 1)))


def read_prompt_lines(path):
    assert all(entry.text for entry in read_prompts([], path.rename(path.with_suffix(".txt"))))


def read_prompt_objects(path):
    assert all(entry.text for entry in read_prompts([], path))


def an_image(kind):
    return lambda folder: written(folder / "image", picture(kind))


def read_image(path):
    pixels = load_image(path, SIDE)
    assert pixels.shape == (3, SIDE, SIDE) and pixels.abs().max() <= 1


# Trajectories

IMAGES = StoreIdentity("images", "t" * 64, "p" * 64, 3, 2, {"steps": 8, "segments": 4, "w": None})
TEXTS = StoreIdentity("texts", "t" * 64, "p" * 64, 2, 2, {"block_size": 4, "text": "a"})


def finished(folder, identity):
    store = TrajectoryStore.create_or_continue(folder, identity)
    for index in store.pending():
        numbers = identity.shard_prompts(index)
        if identity.kind == "images":
            tensors = pack_images([random_image_record(number) for number in numbers])
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
    _collate_all(ImageTrajectoryStream(path.parent, MASK_CODE))


def read_texts_of_store(path):
    _collate_all(TextTrajectoryStream(path.parent, segments=2))


def _collate_all(stream):
    items = list(draw_all(stream))
    if items:
        stream.collate(items)


def continue_store(path):
    """As a collection does that begins again."""
    TrajectoryStore.create_or_continue(path.parent, IMAGES).pending()


# What a run leaves behind


def a_batch(folder):
    records = [random_image_record(seed) for seed in range(2)]
    batch = {
        "image": collate_image_trajectories(records, [0, 5], mask_code=MASK_CODE),
        "language": {"text": ["a", "b"], "seed": [1, 2]},
    }
    save_batch(folder / batch_name(0, 0), batch)
    return folder / batch_name(0, 0)


def an_incident(folder):
    written(folder / batch_name(0, 0), b"")
    incident = {"settings": {"weights": {"language": 0.1}}, "losses": {}, "precision": "32"}
    return written(folder / INCIDENT_FILE, incident)


def a_lock(folder):
    return written(folder / LOCK_NAME, {"host": "a", "pid": 7, "since": 1, "command": "b"})


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


READERS = [
    Reader("COCO captions", coco, json_files, [read_coco(), read_coco(skip=pass_over)]),
    Reader("LLaVA records", llava, json_files, [read_llava(), read_llava(skip=pass_over)]),
    Reader("web text", web_text, parquet_files("content"), [read_web_text]),
    Reader(
        "prompts",
        prompts,
        lines_files,
        [read_evaluation_prompts, read_prompt_objects, read_prompt_lines],
    ),
    *(Reader(kind, an_image(kind), damaged, [read_image]) for kind in ("PNG", "JPEG", "WEBP")),
    *(Reader(kind, an_image(kind), damaged, [read_image]) for kind in ("GIF", "BMP", "TIFF")),
    Reader(
        "manifest of images",
        a_manifest(IMAGES),
        json_files,
        [read_description, read_images_of_store, continue_store],
    ),
    Reader(
        "manifest of texts",
        a_manifest(TEXTS),
        json_files,
        [read_description, read_texts_of_store],
    ),
    Reader("note of a shard", a_note, json_files, [continue_store]),
    Reader("shard of images", a_shard(IMAGES), safetensors_files, [read_images_of_store]),
    Reader("shard of texts", a_shard(TEXTS), safetensors_files, [read_texts_of_store]),
    Reader("batch of an incident", a_batch, batch_files, [load_batch]),
    Reader(
        "description of an incident",
        an_incident,
        json_files,
        [lambda path: read_incident(path.parent)],
    ),
    Reader("lock", a_lock, json_files, [take_lock]),
    Reader("notes of results", notes, lines_files, [read_notes]),
    Reader("weights", weights, safetensors_files, [read_weights]),
    Reader("pickled weights", pickled_weights, pickle_files, [read_weights]),
    Reader("checkpoint", checkpoint, pickle_files, [judge_checkpoint]),
]
