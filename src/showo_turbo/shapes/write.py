"""Writes the shapes world to a folder, in the formats of the real data sets."""

import hashlib
import json
import logging
import math
import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UserError
from ..utils.files import read_json, write_atomically, write_json
from ..utils.lock import folder_lock
from ..utils.progress import progress_bar
from .documents import sample_document
from .records import (
    coco_captions,
    image_file_name,
    llava_records,
    png_bytes,
    prompt_lines,
)
from .sampling import Example, generator, sample_example
from .splits import SPLITS, held_out_prompts

logger = logging.getLogger(__name__)

FORMAT_VERSION = 2
"""Raised whenever the same seed would give other files."""

WORLD_FILE = "world.json"
"""Written last: a folder that has it holds a finished world."""

UNFINISHED_FILE = "world.unfinished.json"
"""Written first and removed last: what an interrupted run was about to write."""

LLAVA_TRAIN_FILE = "llava_v1_5_mix_shapes.json"
LLAVA_VALIDATION_FILE = "llava_val.json"
DOCUMENTS_FILE = "refinedweb/part-00000.parquet"

_SAME = ("version", "seed")
_COUNTS = ("images", "documents", "validation_images")
_DOCUMENTS_PER_ROW_GROUP = 256


def write_world(
    folder: Path | str,
    *,
    images: int = 4000,
    documents: int = 2000,
    validation_images: int = 300,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Write the shapes world; the same arguments give the same bytes in every file.

    The folder gets `train2017/` and `val2017/` (PNG), `annotations/captions_{train,val}2017.json`
    (COCO), `llava_v1_5_mix_shapes.json` and `llava_val.json` (LLaVA), `refinedweb/*.parquet`
    (RefinedWeb), `prompts/{validation,test,unseen_combination}.jsonl` (GenEval metadata of
    prompts held out from training) and, last, `world.json`.

    A finished world is recognized and left alone, an interrupted one is completed, and a smaller
    one with the same seed is extended: scene i depends on the seed and i only. One that has more
    than is asked for is used as it is, with a message. Several processes may ask for one world at
    the same time: one writes it, the others wait.

    Args:
        folder: Where to write; made if missing.
        images: Training images, three captions and one conversation each.
        documents: Text documents.
        validation_images: Images of the validation files.
        seed: Seed of everything.
        progress: Show a progress bar.

    Returns:
        The path of `world.json`.

    Raises:
        UserError: For a count below 1, and for a folder that holds something else or a world of
            another seed.
    """
    root = Path(folder)
    wanted = {
        "version": FORMAT_VERSION,
        "seed": seed,
        "images": images,
        "documents": documents,
        "validation_images": validation_images,
    }
    for key in _COUNTS:
        if wanted[key] < 1:
            raise UserError(f"{key} is {wanted[key]}: expected at least 1")
    if _is_finished(root, wanted):
        return root / WORLD_FILE
    _expect_room(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{root} cannot be written ({error}); name another folder") from error
    with folder_lock(root, wait_s=math.inf):
        if not _is_finished(root, wanted):
            _write(root, _grown(root, wanted), progress)
    return root / WORLD_FILE


def _write(root: Path, wanted: dict[str, int], progress: bool) -> None:
    """Write what is missing of a world; no other process may be writing it."""
    seed, images, documents, validation_images = (
        wanted[key] for key in ("seed", "images", "documents", "validation_images")
    )
    write_json(root / UNFINISHED_FILE, wanted)
    (root / WORLD_FILE).unlink(missing_ok=True)

    listing: dict[str, str] = {}
    total = images + validation_images + documents
    with progress_bar("shapes world", total, show=progress) as advance:
        for split, count, llava_file in (
            ("train", images, LLAVA_TRAIN_FILE),
            ("val", validation_images, LLAVA_VALIDATION_FILE),
        ):
            examples: list[Example] = []
            for relative, data in _image_files(split, count, seed, examples):
                _write_if_changed(root, relative, data, listing)
                advance(1)
            for relative, data in _annotation_files(split, examples, llava_file):
                _write_if_changed(root, relative, data, listing)
        texts = [sample_document(generator(seed, "documents", i)) for i in range(documents)]
        _write_if_changed(root, DOCUMENTS_FILE, parquet_bytes(texts), listing)
        advance(documents)
        for name in SPLITS:
            lines = prompt_lines(held_out_prompts(name))
            _write_if_changed(root, f"prompts/{name}.jsonl", lines, listing)

    os.sync()  # A world file that outlives a power failure must not name images that do not.
    write_json(root / WORLD_FILE, {**wanted, "listing_sha256": _listing_hash(listing)})
    (root / UNFINISHED_FILE).unlink()


def _is_finished(root: Path, wanted: dict[str, int]) -> bool:
    """Whether the folder holds this very world, or a larger one, with every file in place."""
    if (root / UNFINISHED_FILE).exists() or not (root / WORLD_FILE).exists():
        return False
    found = _read_plan(root / WORLD_FILE, wanted)
    if any(found[key] != wanted[key] for key in _SAME):
        return False
    larger = [key for key in _COUNTS if found[key] > wanted[key]]
    if any(found[key] < wanted[key] for key in _COUNTS) or not _is_complete(root, found):
        return False
    if larger:
        more = ", ".join(f"{found[key]} {key} instead of {wanted[key]}" for key in larger)
        logger.warning("%s is larger than asked for, and all of it is used: %s", root, more)
    return True


def _is_complete(root: Path, wanted: dict[str, int]) -> bool:
    """Whether every file of a world is there."""
    expected = chain(
        (LLAVA_TRAIN_FILE, LLAVA_VALIDATION_FILE, DOCUMENTS_FILE),
        (f"prompts/{name}.jsonl" for name in SPLITS),
        (f"annotations/captions_{split}2017.json" for split in ("train", "val")),
        (f"val2017/{image_file_name(index)}" for index in range(wanted["validation_images"])),
        (f"train2017/{image_file_name(index)}" for index in range(wanted["images"])),
    )
    return all((root / relative).is_file() for relative in expected)


def _expect_room(root: Path) -> None:
    """Raise if a folder holds something else.

    Raises:
        UserError: If it holds files but no world, finished or not.
    """
    if root.exists() and not root.is_dir():
        raise UserError(f"{root} is a file: expected a folder for the shapes world, name another")
    if not root.exists():
        return
    # Another process may just have begun: it locks, then says what it is about to write.
    others = [path.name for path in root.iterdir() if not path.name.startswith(".")]
    if others and not {UNFINISHED_FILE, WORLD_FILE} & {*others}:
        raise UserError(
            f"{root} is not empty and holds no {WORLD_FILE}: expected a new folder, an empty "
            f"one or a shapes world; name another folder"
        )


def _grown(root: Path, wanted: dict[str, int]) -> dict[str, int]:
    """What is to be written so that the folder has what is wanted, and all that it has already.

    Raises:
        UserError: If the folder's world has another seed, or its files are of another version.
    """
    plans = [root / name for name in (UNFINISHED_FILE, WORLD_FILE) if (root / name).exists()]
    if not plans:
        return wanted
    found = _read_plan(plans[0], wanted)
    for key in _SAME:
        if found[key] != wanted[key]:
            raise UserError(
                f"{plans[0]} says {key} {found[key]}, asked for {key} {wanted[key]}: a world "
                f"keeps its {key}; name another folder or delete this one"
            )
    return wanted | {key: max(found[key], wanted[key]) for key in _COUNTS}


def _read_plan(path: Path, wanted: dict[str, int]) -> dict[str, int]:
    """The entries of a world file that say what it was made with."""
    plan = read_json(path)
    if not isinstance(plan, dict) or not all(isinstance(plan.get(key), int) for key in wanted):
        raise UserError(
            f"{path} does not describe a shapes world: expected whole numbers for "
            f"{', '.join(wanted)}; delete the folder and generate it again"
        )
    return {key: plan[key] for key in wanted}


def _image_files(
    split: str, count: int, seed: int, examples: list[Example]
) -> Iterator[tuple[str, bytes]]:
    """The PNG files of a split; fills `examples` on the way."""
    for index in range(count):
        example = sample_example(index, seed, split=split)
        examples.append(example)
        yield f"{split}2017/{image_file_name(index)}", png_bytes(example.scene)


def _annotation_files(
    split: str, examples: Sequence[Example], llava_file: str
) -> Iterator[tuple[str, bytes]]:
    captions = coco_captions(examples, f"Captions of the shapes world, {split} split")
    yield f"annotations/captions_{split}2017.json", json.dumps(captions).encode()
    yield llava_file, json.dumps(llava_records(examples, f"{split}2017"), indent=1).encode()


def parquet_bytes(texts: Sequence[str]) -> bytes:
    """Texts as a Parquet file with the column `content`."""
    sink = pa.BufferOutputStream()
    table = pa.table({"content": pa.array(texts, pa.string())})
    pq.write_table(table, sink, row_group_size=_DOCUMENTS_PER_ROW_GROUP)
    return bytes(sink.getvalue().to_pybytes())


def _write_if_changed(root: Path, relative: str, data: bytes, listing: dict[str, str]) -> None:
    """Write a file unless it is there already, and note its hash.

    Comparing bytes is what completes an interrupted world, torn files included, so the many small
    images can do without an fsync each: what is on disk is seen to once, before the world file.
    """
    listing[relative] = hashlib.sha256(data).hexdigest()
    path = root / relative
    if path.is_file() and path.read_bytes() == data:
        return
    if path.suffix == ".png":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return
    with write_atomically(path) as temporary:
        temporary.write_bytes(data)


def _listing_hash(listing: dict[str, str]) -> str:
    """SHA-256 of "hash  path" lines sorted by path, the output of `sha256sum`."""
    lines = "".join(f"{listing[path]}  {path}\n" for path in sorted(listing))
    return hashlib.sha256(lines.encode()).hexdigest()
