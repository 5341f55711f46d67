"""The shapes world as a stand-in for all files that are not named."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..data.corpus import Corpus
from ..data.files import CaptionFiles, InstructionFiles, PromptFiles, TextFiles
from .write import DOCUMENTS_FILE, LLAVA_TRAIN_FILE, LLAVA_VALIDATION_FILE, write_world


@dataclass(frozen=True)
class ShapesWorld(Corpus):
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
        # Its questions do not refer to one another.
        return InstructionFiles(self.folder, self.folder / name, history=False)

    def web_text(self) -> TextFiles:
        """The documents."""
        return TextFiles([(self.folder / DOCUMENTS_FILE).parent])

    def prompts(self) -> PromptFiles:
        """The evaluation prompts, combinations held out from training last."""
        validation, *test = (
            self.folder / f"prompts/{split}.jsonl"
            for split in ("validation", "test", "unseen_combination")
        )
        return PromptFiles(validation, test)
