"""Images with captions as people have them, split into training, validation and test."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError, shown
from ..utils.files import write_json, write_text
from ..utils.random import Permutation, stable_hash
from ..utils.text_files import json_lines, read_lines
from .coco import read_coco_captions
from .fields import text_field
from .images import image_endings, image_path
from .records import JSON_LINES, TABLES, read_records

PICTURE_KEYS = ("file_name", "image", "file", "path")
CAPTION_KEYS = ("caption", "text", "prompt")
"""What tables of captions call their columns; the first that is there is taken."""

METADATA_FILES = tuple(f"metadata{ending}" for ending in (*JSON_LINES, *TABLES))
"""Captions that lie among the images, as in the image folders of the hub."""

SPLITS = ("train", "validation", "test")
PICTURES = "pictures"
"""Of a split: the link to the folder of the images."""


class CaptionedPicture(NamedTuple):
    """An image, by its path from the folder of images, and its captions."""

    name: str
    captions: list[str]


def read_captioned(images: Path, captions: Path | None = None) -> list[CaptionedPicture]:
    """Find the images and their captions; the images themselves are not read.

    Args:
        images: Folder of the images.
        captions: COCO's captions (`.json`); or a table (`.csv`, `.tsv`, `.jsonl`), a row a caption,
            with a column of `PICTURE_KEYS` and one of `CAPTION_KEYS`. By default a table in the
            folder that is called `metadata`, or a text file beside each image, whose lines are
            captions.

    Raises:
        UserError: If there are none, or something is missing or malformed.
    """
    if not images.is_dir():
        raise UserError(f"{images} is not a folder; expected one of images, name another")
    if captions is None:
        inside = (images / name for name in METADATA_FILES)
        captions = next((path for path in inside if path.is_file()), None)
    if captions is None:
        found = _read_beside(images)
    elif captions.suffix.lower() == ".json":
        records = read_coco_captions(captions, images)
        found = {path.relative_to(images).as_posix(): texts for _, path, texts in records}
    else:
        found = _read_table(images, captions)
    for name in found:
        if not (images / name).is_file():
            raise UserError(
                f"{images / name} does not exist, but {captions} has captions of it; expected an "
                "image, add it or remove its captions"
            )
    return [CaptionedPicture(name, texts) for name, texts in found.items()]


def divide_pictures(
    pictures: Sequence[CaptionedPicture], shares: Mapping[str, float], seed: int = 0
) -> dict[str, list[CaptionedPicture]]:
    """Divide images at random; each goes into one split, with all its captions.

    Args:
        pictures: All of them.
        shares: Of the splits `validation` and `test`, which get an image at least; what is left is
            `train`.
        seed: Chooses which.

    Raises:
        UserError: If shares are out of range, or nothing is left to train on.
    """
    counts = {}
    for name, share in shares.items():
        if not 0 < share < 1:
            raise UserError(
                f"the share of {name} is {share}; expected one between 0 and 1, such as 0.05"
            )
        counts[name] = max(1, round(share * len(pictures)))
    if sum(counts.values()) >= len(pictures):
        raise UserError(
            f"{len(pictures)} images are too few for {sum(counts.values())} of "
            f"{' and '.join(counts)}; give more, or smaller shares"
        )
    order = Permutation(len(pictures), stable_hash(seed, "split"))
    shuffled = [order[place] for place in range(len(pictures))]
    found: dict[str, list[CaptionedPicture]] = {}
    for name, count in counts.items():
        chosen, shuffled = sorted(shuffled[:count]), shuffled[count:]
        found[name] = [pictures[index] for index in chosen]
    return {SPLITS[0]: [pictures[index] for index in sorted(shuffled)]} | found


def write_split(
    folder: Path, images: Path, splits: Mapping[str, Sequence[CaptionedPicture]], question: str
) -> None:
    """Write the files that training reads, each atomically.

    - `pictures`: a link to the folder of the images;
    - `<split>.json`: its captions, in COCO's format;
    - `<split>-questions.json`: the question about each image, with every caption for an answer in
      training and the first one elsewhere, in LLaVA's format;
    - `prompts/<split>.jsonl`, but for training: the first caption of each image, as a prompt.

    Args:
        folder: Where to write.
        images: Folder of the images.
        splits: What `divide_pictures` gave.
        question: What is asked about an image.
    """
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / PICTURES
    if link.is_symlink():
        link.unlink()
    link.symlink_to(os.path.relpath(images.resolve(), folder.resolve()), target_is_directory=True)
    for split, pictures in splits.items():
        write_json(folder / f"{split}.json", _coco(pictures))
        questions = _questions(pictures, question, every=split == SPLITS[0])
        write_json(folder / f"{split}-questions.json", questions)
        if split != SPLITS[0]:
            lines = [{"prompt": captions[0], "image": name} for name, captions in pictures]
            write_text(folder / "prompts" / f"{split}.jsonl", json_lines(lines))


def _coco(pictures: Sequence[CaptionedPicture]) -> dict[str, Any]:
    return {
        "images": [{"id": i, "file_name": picture.name} for i, picture in enumerate(pictures)],
        "annotations": [
            {"image_id": i, "caption": caption}
            for i, picture in enumerate(pictures)
            for caption in picture.captions
        ],
    }


def _questions(
    pictures: Sequence[CaptionedPicture], question: str, every: bool
) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{name}/{number}",
            "image": name,
            "conversations": [
                {"from": "human", "value": f"<image>\n{question}"},
                {"from": "gpt", "value": answer},
            ],
        }
        for name, captions in pictures
        for number, answer in enumerate(captions if every else captions[:1])
    ]


def _read_table(images: Path, file: Path) -> dict[str, list[str]]:
    """The captions of a table, by image."""
    found: dict[str, list[str]] = {}
    for where, record in read_records(file):
        name = text_field(record, _column(record, PICTURE_KEYS, where), where)
        caption = text_field(record, _column(record, CAPTION_KEYS, where), where)
        path = image_path(images, name, where).relative_to(images).as_posix()
        found.setdefault(path, []).append(caption)
    if not found:
        raise UserError(f"{file} holds no caption; expected a row for each, fill it")
    return found


def _column(record: Any, names: Sequence[str], where: str) -> str:
    found = next((name for name in names if isinstance(record, dict) and name in record), None)
    if found is None:
        has = shown(list(record)) if isinstance(record, dict) else shown(record)
        raise UserError(f"{where} has {has}; expected one of {', '.join(names)}, name one so")
    return found


def _read_beside(images: Path) -> dict[str, list[str]]:
    """The lines of the text file beside each image; images without one are left out."""
    endings = image_endings()
    found = {}
    for path in sorted(images.rglob("*")):
        text = path.with_suffix(".txt")
        if path.suffix.lower() in endings and text.is_file():
            lines = [line for _, line in read_lines(text)]
            if not lines:
                raise UserError(f"{text} is empty; expected a caption, write one or remove it")
            found[path.relative_to(images).as_posix()] = lines
    if not found:
        raise UserError(
            f"{images} holds no captions: neither a metadata.csv or .jsonl nor text files beside "
            "the images; name the file of captions with --captions"
        )
    return found
