"""The DataModule of consistency distillation."""

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..errors import UserError
from ..trajectories.store import TrajectoryStore
from .coco import COCOCaptions
from .llava import LLaVAInstructions
from .multimodal import MultimodalDataModule
from .permutation import Permutation, stable_hash
from .questions import QuestionFiles
from .sources import required
from .streams import Stream
from .trajectory_streams import ImageTrajectoryStream, TextTrajectoryStream

_Entry = TypeVar("_Entry", bound=Hashable)


@dataclass(frozen=True)
class DistillationBatchSizes:
    """Samples of each stream in the batch of one device; 0 leaves a stream out.

    Args:
        image: Image trajectories.
        text: Text trajectories: whole answers, with all their blocks.
        language: Web texts.
    """

    image: int = 16
    text: int = 4
    language: int = 4


class DistillationDataModule(MultimodalDataModule):
    """Data to distill a teacher's trajectories (Show-o Turbo, arXiv 2502.05415, section 4).

    The teacher samples its trajectories for the captions and the questions of the training files
    (`image_prompts`, `text_requests`); whoever collects them hands the stores back with
    `set_stores`. Training batches hold the streams `image` (`ImageBatch`), `text` (`TextBatch`) and
    `language`: `{text, seed}`. Evaluation batches hold `prompts`: `{prompt, category, metadata,
    split, seed, index}` or `instructions`: `{pixels, question, answer, id, seed, index}`, or
    `questions`: `{benchmark, pixels, question, truth, seed, index}`.

    Args:
        resolution: Side length of the images in pixels.
        batch_sizes: Samples of each stream in the batch of one device.
        val_batch_size: Samples in an evaluation batch.
        skip_prompts: Regular expression; captions in which it is found are not drawn.
        questions: Benchmarks whose questions `validate` and `test` ask.
        **options: The files and the rest, see `MultimodalDataModule`.
    """

    def __init__(
        self,
        resolution: int,
        batch_sizes: DistillationBatchSizes = DistillationBatchSizes(),
        val_batch_size: int = 32,
        skip_prompts: str | None = None,
        questions: Sequence[QuestionFiles] = (),
        **options: Any,
    ) -> None:
        super().__init__(
            resolution, batch_sizes=asdict(batch_sizes), val_batch_size=val_batch_size, **options
        )
        self.skip_prompts = _pattern(skip_prompts)
        self.questions = questions
        self._captions: COCOCaptions | None = None
        self._instructions: LLaVAInstructions | None = None

    def open_streams(self) -> dict[str, Stream]:
        """Open the files; the streams `image` and `text` follow with `set_stores`."""
        # Stores that were set before Lightning got here stay.
        streams: dict[str, Stream] = {
            name: stream for name, stream in self._streams.items() if name in ("image", "text")
        }
        skip = self.bad_samples.skip
        if "image" in self.batch_sizes:
            self._captions = required(self.captions, "captions").open(self.resolution, skip)
        if "text" in self.batch_sizes:
            instructions = required(self.instructions, "instructions")
            self._instructions = instructions.open(self.resolution, skip)
        if "language" in self.batch_sizes:
            streams["language"] = required(self.web_text, "web_text").open()
        return streams

    def open_evaluation_streams(
        self, stage: Literal["validate", "test"]
    ) -> list[tuple[str, Stream]]:
        """Open prompts and questions; those of benchmarks only where nothing else is done."""
        streams = super().open_evaluation_streams(stage)
        if self.trainer is None or self.trainer.state.fn in ("validate", "test"):
            skip = self.bad_samples.skip
            streams += [
                ("questions", files.open(self.resolution, skip)) for files in self.questions
            ]
        return streams

    def image_prompts(self, count: int | None = None, selection: int = 0) -> list[str]:
        """Captions for the teacher to generate images for.

        Args:
            count: How many different captions; all if missing.
            selection: Which of the random selections with this module's seed.

        Raises:
            UserError: If there are fewer different captions that are drawn.
        """
        captions = required(self._captions, "captions").captions()
        if self.skip_prompts is not None:
            captions = [text for text in captions if not self.skip_prompts.search(text)]
        return self._select(captions, count, f"captions/{selection}")

    def text_requests(self, count: int | None = None, selection: int = 0) -> list[tuple[Path, str]]:
        """Images and questions for the teacher to answer.

        Args:
            count: How many different pairs; all if missing.
            selection: Which of the random selections with this module's seed.

        Raises:
            UserError: If there are fewer different pairs.
        """
        requests = required(self._instructions, "instructions").requests()
        return self._select(requests, count, f"instructions/{selection}")

    def set_stores(
        self,
        images: TrajectoryStore | Path | None,
        texts: TrajectoryStore | Path | None,
        *,
        mask_code: int,
        text_segments: int,
    ) -> None:
        """Train on these trajectories from the next training loader on.

        Args:
            images: Finished store of image trajectories, or its folder; None for no such stream.
            texts: Finished store of text trajectories, or its folder; None for no such stream.
            mask_code: The code that stands for a masked image position.
            text_segments: Number of segments that the Jacobi iterations of a block are cut into.
        """
        self._streams.pop("image", None)
        self._streams.pop("text", None)
        if images is not None:
            self._streams["image"] = ImageTrajectoryStream(images, mask_code)
        if texts is not None:
            self._streams["text"] = TextTrajectoryStream(texts, text_segments)

    def _select(self, entries: Iterable[_Entry], count: int | None, what: str) -> list[_Entry]:
        """The first `count` distinct entries in a random order."""
        distinct = list(dict.fromkeys(entries))
        if count is None:
            count = len(distinct)
        if not 1 <= count <= len(distinct):
            raise UserError(
                f"{count} trajectories asked for, but the {what.partition('/')[0]} hold "
                f"{len(distinct)} different ones; ask for 1 to {len(distinct)}"
            )
        order = Permutation(len(distinct), stable_hash(self.seed, what))
        return [distinct[order[position]] for position in range(count)]


def _pattern(skip_prompts: str | None) -> re.Pattern[str] | None:
    """The compiled expression.

    Raises:
        UserError: If it is none.
    """
    try:
        return re.compile(skip_prompts) if skip_prompts is not None else None
    except re.error as error:
        raise UserError(
            f"skip_prompts is {skip_prompts!r}, which is no regular expression: {error}; fix it"
        ) from None
