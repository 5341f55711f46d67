"""The readers of files that others may have written, each with a good file to begin with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis.strategies import SearchStrategy

from showo_turbo.training.incident import read_incident
from showo_turbo.trajectories.batch_file import load_batch

from . import annotations, run_files
from .mutations import (
    batch_files,
    damaged,
    json_files,
    lines_files,
    parquet_files,
    pickle_files,
    safetensors_files,
    tar_files,
)


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


READERS = [
    Reader(
        "COCO captions",
        annotations.coco,
        json_files,
        [annotations.read_coco(), annotations.read_coco(skip=annotations.pass_over)],
    ),
    Reader(
        "LLaVA records",
        annotations.llava,
        json_files,
        [annotations.read_llava(), annotations.read_llava(skip=annotations.pass_over)],
    ),
    Reader(
        "stories",
        annotations.stories,
        json_files,
        [annotations.read_stories(), annotations.read_stories(skip=annotations.pass_over)],
    ),
    Reader("strips of stories", annotations.strips, json_files, [annotations.read_stories()]),
    Reader("tar of pictures", annotations.tar_shard, tar_files, [annotations.read_shard]),
    Reader(
        "parquet of pictures",
        annotations.parquet_shard,
        parquet_files("caption"),
        [annotations.read_shard],
    ),
    Reader("names of classes", annotations.class_names, damaged, [annotations.read_names]),
    *(
        Reader(f"clip {ending}", annotations.a_clip(ending), damaged, [annotations.read_clip])
        for ending in (".gif", ".webp")
    ),
    Reader("web text", annotations.web_text, parquet_files("content"), [annotations.read_web_text]),
    Reader(
        "prompts",
        annotations.prompts,
        lines_files,
        [
            annotations.read_evaluation_prompts,
            annotations.read_prompt_objects,
            annotations.read_prompt_lines,
        ],
    ),
    *(
        Reader(kind, annotations.an_image(kind), damaged, [annotations.read_image])
        for kind in ("PNG", "JPEG", "WEBP")
    ),
    *(
        Reader(kind, annotations.an_image(kind), damaged, [annotations.read_image])
        for kind in ("GIF", "BMP", "TIFF")
    ),
    Reader(
        "manifest of images",
        run_files.a_manifest(run_files.IMAGES),
        json_files,
        [run_files.read_description, run_files.read_images_of_store, run_files.continue_store],
    ),
    Reader(
        "manifest of texts",
        run_files.a_manifest(run_files.TEXTS),
        json_files,
        [run_files.read_description, run_files.read_texts_of_store],
    ),
    Reader("note of a shard", run_files.a_note, json_files, [run_files.continue_store]),
    Reader(
        "shard of images",
        run_files.a_shard(run_files.IMAGES),
        safetensors_files,
        [run_files.read_images_of_store],
    ),
    Reader(
        "shard of texts",
        run_files.a_shard(run_files.TEXTS),
        safetensors_files,
        [run_files.read_texts_of_store],
    ),
    Reader("batch of an incident", run_files.a_batch, batch_files, [load_batch]),
    Reader(
        "description of an incident",
        run_files.an_incident,
        json_files,
        [lambda path: read_incident(path.parent)],
    ),
    Reader("lock", run_files.a_lock, json_files, [run_files.take_lock]),
    Reader("notes of results", run_files.notes, lines_files, [run_files.read_notes]),
    Reader("weights", run_files.weights, safetensors_files, [run_files.read_weights]),
    Reader("pickled weights", run_files.pickled_weights, pickle_files, [run_files.read_weights]),
    Reader("checkpoint", run_files.checkpoint, pickle_files, [run_files.judge_checkpoint]),
]
