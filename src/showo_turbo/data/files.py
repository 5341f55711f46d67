"""Files as sources of data, in the formats of the published data sets."""

from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info

from ..errors import UserError
from .bad_samples import Skip, refuse
from .clips import check_frames
from .coco import COCOCaptions
from .llava import LLaVAInstructions
from .sources import CaptionSource, QuestionSource, TextSource
from .transparency import BACKGROUND, check_background
from .turns import Turns
from .web_text import WebText


@dataclass(frozen=True)
class CaptionFiles(CaptionSource):
    """Images with captions, in the format of COCO.

    Args:
        images: Folder of the images, such as `train2017`.
        annotations: The captions file, such as `annotations/captions_train2017.json`.
        background: Color that shows through transparent parts of the images, such as `black` or
            `#808080`.
        frames: Frames of each clip, where the files are clips: videos, animated images or folders
            of frames, see `load_clip`.
    """

    images: Path
    annotations: Path
    background: str = BACKGROUND
    frames: int | None = None

    def __post_init__(self) -> None:
        check_background(self.background)
        check_frames(self.frames)

    def captions(self, skip: Skip = refuse) -> list[str]:
        """All captions, image by image; none of the images is read."""
        return self.open(1, skip).captions()

    def open(self, resolution: int, skip: Skip = refuse) -> COCOCaptions:
        """Read the annotations; images come as squares of `resolution` pixels."""
        return COCOCaptions(
            self.images,
            self.annotations,
            resolution,
            skip,
            background=self.background,
            frames=self.frames,
        )


@dataclass(frozen=True)
class InstructionFiles(QuestionSource):
    """Images with questions and answers, in the format of LLaVA.

    Args:
        images: Folder that the records' `image` paths start from.
        annotations: The JSON file of records, such as `llava_v1_5_mix665k.json`.
        history: Whether a question comes with the turns before it; if not, each stands alone.
        background: Color that shows through transparent parts of the images, such as `black` or
            `#808080`.
        frames: Frames of each clip, where the files are clips: videos, animated images or folders
            of frames, see `load_clip`.
    """

    images: Path
    annotations: Path
    history: bool = True
    background: str = BACKGROUND
    frames: int | None = None

    def __post_init__(self) -> None:
        check_background(self.background)
        check_frames(self.frames)

    def requests(self, skip: Skip = refuse) -> Turns:
        """The image and the question of every turn; none of the images is read.

        Raises:
            UserError: If the files are clips: answers about them are not distilled.
        """
        if self.frames is not None:
            raise UserError(
                f"{self.annotations} has questions about clips, which can be pretrained on, but "
                "not distilled; leave them out, with --num_texts 0 or a batch size of 0 for text"
            )
        return self.open(1, skip).requests()

    def open(self, resolution: int, skip: Skip = refuse) -> LLaVAInstructions:
        """Read the annotations, and say what is left out of them."""
        dataset = LLaVAInstructions(
            self.images,
            self.annotations,
            resolution,
            skip,
            history=self.history,
            background=self.background,
            frames=self.frames,
        )
        counts = {
            "records without an image": dataset.num_text_only,
            "messages before a first question": dataset.num_openings,
            "questions without an answer": dataset.num_unanswered,
        }
        left_out = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        if left_out:
            rank_zero_info(
                f"{self.annotations}: left out {left_out}, {len(dataset)} questions remain"
            )
        return dataset


@dataclass(frozen=True)
class TextFiles(TextSource):
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
class PromptFiles:
    """Prompts to evaluate on, in the format of GenEval.

    Args:
        validation: Prompts for validation during training and for choosing settings.
        test: Files of prompts for the final test; each is reported on its own.
    """

    validation: Path
    test: list[Path]
