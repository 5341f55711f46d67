"""Writes clips of moving shapes to a folder, in the formats of the real data sets."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from ..data.corpus import Corpus
from ..data.files import CaptionFiles, InstructionFiles, PromptFiles, TextFiles
from ..errors import UserError
from ..sampling.options import check_choice
from ..utils.files import write_atomically, write_json
from .clips import FRAMES, ClipScene, Level, clip_questions, render_clip, sample_clip
from .conversations import to_llava
from .documents import sample_document
from .sampling import generator
from .scene import BACKGROUND_VALUES, COLOR_VALUES
from .write import parquet_bytes
from .written_once import write_once

WORLD_FILE = "clips.json"
"""Written last: a folder that has it holds all clips."""

MILLISECONDS = 100
"""That a frame of a file is shown; GIF knows hundredths of a second only."""

PROMPTS = 200
"""Of each evaluation file."""

_PALETTE = [*BACKGROUND_VALUES.values(), *COLOR_VALUES.values()]
_DOCUMENTS = 1000


def write_clips(
    folder: Path, *, clips: int, validation_clips: int, level: Level = "easy", seed: int = 0
) -> None:
    """Write clips as GIF with captions (COCO) and questions (LLaVA), and evaluation prompts.

    Args:
        folder: Where to write; one that holds these clips is left alone.
        clips: Training clips.
        validation_clips: Clips of the validation files.
        level: How shapes move.
        seed: Seed of everything.

    Raises:
        UserError: If there are to be none, there is no such level, or the folder holds other
            clips.
    """
    counts = {"clips": clips, "validation_clips": validation_clips}
    for name, count in counts.items():
        if count < 1:
            raise UserError(f"{name} is {count}; expected at least 1")
    check_choice(Level, level=level)
    wanted = {"version": 2, **counts, "level": level, "seed": seed}
    write_once(folder, WORLD_FILE, wanted, "clips", lambda: _write(folder, counts, level, seed))


def _write(folder: Path, counts: dict[str, int], level: Level, seed: int) -> None:
    for split, count in (("train", counts["clips"]), ("validation", counts["validation_clips"])):
        (folder / split).mkdir(exist_ok=True)
        scenes = [sample_clip(i, seed, split=split, level=level) for i in range(count)]
        for name, scene in _named(scenes):
            write_gif(folder / split / name, scene)
        write_json(folder / f"{split}-captions.json", _captions(scenes))
        write_json(folder / f"{split}-questions.json", _questions(scenes, split))
    for split in ("validation", "test"):
        lines = (
            json.dumps(sample_clip(i, seed, split=split, level=level).to_metadata(i % 2 == 1))
            for i in range(PROMPTS)
        )
        with write_atomically(folder / "prompts" / f"{split}.jsonl") as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    texts = [sample_document(generator(seed, "documents", i)) for i in range(_DOCUMENTS)]
    with write_atomically(folder / "texts" / "part-00000.parquet") as temporary:
        temporary.write_bytes(parquet_bytes(texts))


def write_gif(path: Path, scene: ClipScene) -> None:
    """Write a clip as a GIF with the very colors of the world."""
    palette = np.array(_PALETTE, dtype=np.int64)
    pixels = render_clip(scene).astype(np.int64)
    indices = np.abs(pixels[..., None, :] - palette).sum(-1).argmin(-1).astype(np.uint8)
    frames = [Image.fromarray(frame) for frame in indices]
    for frame in frames:
        frame.putpalette(palette.astype(np.uint8).tobytes())
    first, *others = frames
    first.save(
        path,
        format="GIF",
        save_all=True,
        append_images=others,
        duration=MILLISECONDS,
        loop=0,
        optimize=False,
        disposal=1,
    )


def _named(scenes: list[ClipScene]) -> Iterator[tuple[str, ClipScene]]:
    for index, scene in enumerate(scenes):
        yield f"{index:06d}.gif", scene


def _captions(scenes: list[ClipScene]) -> dict[str, object]:
    images = [{"id": i, "file_name": name} for i, (name, _) in enumerate(_named(scenes))]
    annotations = [
        {"image_id": i, "caption": caption}
        for i, scene in enumerate(scenes)
        for caption in scene.captions
    ]
    return {"images": images, "annotations": annotations}


def _questions(scenes: list[ClipScene], split: str) -> list[dict[str, object]]:
    return [
        {
            "id": name,
            "image": f"{split}/{name}",
            "conversations": to_llava(tuple(clip_questions(scene))),
        }
        for name, scene in _named(scenes)
    ]


@dataclass(frozen=True)
class ShapesClips(Corpus):
    """Generated clips of moving shapes; they stand in for every file that is not named.

    Args:
        folder: Where they are, or are to be written.
        clips: Training clips, with two captions and up to five questions each.
        validation_clips: Clips for validation.
        level: `easy`, shapes move by four pixels every four frames; or `hard`, by one a frame.
        seed: Seed of everything.
    """

    folder: Path
    clips: int = 6000
    validation_clips: int = 200
    level: Level = "easy"
    seed: int = 0

    def write(self) -> None:
        """Write them, if they are not there."""
        write_clips(
            self.folder,
            clips=self.clips,
            validation_clips=self.validation_clips,
            level=self.level,
            seed=self.seed,
        )

    def captions(self, split: Literal["train", "val"]) -> CaptionFiles:
        """The captions of a split."""
        name = _SPLITS[split]
        captions = self.folder / f"{name}-captions.json"
        return CaptionFiles(self.folder / name, captions, frames=FRAMES)

    def instructions(self, split: Literal["train", "val"]) -> InstructionFiles:
        """The questions and answers of a split."""
        questions = self.folder / f"{_SPLITS[split]}-questions.json"
        # They do not refer to one another.
        return InstructionFiles(self.folder, questions, history=False, frames=FRAMES)

    def web_text(self) -> TextFiles:
        """Documents, those of the shapes world."""
        return TextFiles([self.folder / "texts"])

    def prompts(self) -> PromptFiles:
        """The evaluation prompts, captions that no training clip has."""
        validation, test = (
            self.folder / f"prompts/{split}.jsonl" for split in ("validation", "test")
        )
        return PromptFiles(validation, [test])


_SPLITS = {"train": "train", "val": "validation"}
