"""Where data comes from: files that the user names, or a generated shapes world."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeVar

from lightning.pytorch.utilities import rank_zero_info

from ..errors import UserError
from .bad_samples import Skip, refuse
from .coco import COCOCaptions
from .llava import LLaVAInstructions
from .shapes.write import (
    DOCUMENTS_FILE,
    LLAVA_TRAIN_FILE,
    LLAVA_VALIDATION_FILE,
    write_world,
)
from .web_text import WebText

_Files = TypeVar("_Files")


@dataclass(frozen=True)
class CaptionFiles:
    """Images with captions, in the format of COCO.

    Args:
        images: Folder of the images, such as `train2017`.
        annotations: The captions file, such as `annotations/captions_train2017.json`.
    """

    images: Path
    annotations: Path

    def open(self, resolution: int, skip: Skip = refuse) -> COCOCaptions:
        """Read the annotations; images come as squares of `resolution` pixels."""
        return COCOCaptions(self.images, self.annotations, resolution, skip)


@dataclass(frozen=True)
class InstructionFiles:
    """Images with questions and answers, in the format of LLaVA.

    Args:
        images: Folder that the records' `image` paths start from.
        annotations: The JSON file of records, such as `llava_v1_5_mix665k.json`.
    """

    images: Path
    annotations: Path

    def open(self, resolution: int, skip: Skip = refuse) -> LLaVAInstructions:
        """Read the annotations, and say how many records are left out for lack of an image."""
        dataset = LLaVAInstructions(self.images, self.annotations, resolution, skip)
        if dataset.num_text_only:
            rank_zero_info(
                f"{self.annotations}: left out {dataset.num_text_only} records without an image, "
                f"{len(dataset)} questions remain"
            )
        return dataset


@dataclass(frozen=True)
class TextFiles:
    """Texts, in the format of RefinedWeb.

    Args:
        files: Parquet files, and folders that are searched for `*.parquet` with their subfolders.
        column: Name of the text column.
    """

    files: list[Path]
    column: str = "content"

    def open(self) -> WebText:
        """Read the files' footers."""
        return WebText(self.files, self.column)


@dataclass(frozen=True)
class ShapesWorld:
    """A generated world of colored shapes; it stands in for every file that is not named.

    Args:
        folder: Where the world is, or is to be written. An incomplete one is completed, a smaller
            one of the same seed is extended, and a larger one is used as it is.
        images: Training images, with three captions and one conversation each.
        documents: Text documents.
        validation_images: Images for validation.
        seed: Seed of everything in it.
    """

    folder: Path
    images: int = 4000
    documents: int = 2000
    validation_images: int = 300
    seed: int = 0

    def write(self) -> None:
        """Write what is missing of the world."""
        write_world(
            self.folder,
            images=self.images,
            documents=self.documents,
            validation_images=self.validation_images,
            seed=self.seed,
        )

    def captions(self, split: Literal["train", "val"]) -> CaptionFiles:
        """The captions of a split."""
        return CaptionFiles(
            self.folder / f"{split}2017",
            self.folder / f"annotations/captions_{split}2017.json",
        )

    def instructions(self, split: Literal["train", "val"]) -> InstructionFiles:
        """The questions and answers of a split."""
        name = LLAVA_TRAIN_FILE if split == "train" else LLAVA_VALIDATION_FILE
        return InstructionFiles(self.folder, self.folder / name)

    def web_text(self) -> TextFiles:
        """The documents."""
        return TextFiles([(self.folder / DOCUMENTS_FILE).parent])

    def prompts(self, split: str) -> Path:
        """The evaluation prompts of a split."""
        return self.folder / f"prompts/{split}.jsonl"


@dataclass(frozen=True)
class PromptFiles:
    """Prompts to evaluate on, in the format of GenEval.

    Args:
        validation: Prompts for validation during training and for choosing settings.
        test: Files of prompts for the final test; each is reported on its own.
    """

    validation: Path
    test: list[Path]

    @classmethod
    def of(cls, world: ShapesWorld) -> Self:
        """The prompts of a shapes world, combinations held out from training last."""
        return cls(
            world.prompts("validation"),
            [world.prompts("test"), world.prompts("unseen_combination")],
        )


def required(files: _Files | None, argument: str) -> _Files:
    """The files, if there are any.

    Raises:
        UserError: If there are none.
    """
    if files is None:
        raise UserError(
            f"{argument} is missing; name its files, or give a shapes world to generate"
        )
    return files
