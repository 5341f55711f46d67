"""The DataModule of consistency distillation."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..errors import UserError
from ..trajectories.draws import StateDraws, UniformDraws
from ..trajectories.partly_known import PartlyKnown
from ..trajectories.record import DenoisedText, ImageTrajectory, TextTrajectory
from ..trajectories.store import TrajectoryStore
from ..trajectories.stored import StoredTrajectories
from ..trajectories.text_draws import IterateDraws, UniformIterates, check_text_draws
from ..utils.random import Permutation, stable_hash
from .multimodal import MultimodalDataModule
from .questions import QuestionFiles
from .sources import required
from .streams import Stream
from .trajectory_streams import (
    DenoisedTextStream,
    ImageTrajectoryStream,
    TextTrajectoryStream,
)
from .turns import Turns

_Entry = TypeVar("_Entry")


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
    `set_stores`. Training batches hold the streams `image` (`ImageBatch`), `text` (`TextBatch`, or
    `DenoisedTextBatch`) and `language`: `{text, seed}`. Evaluation batches hold `prompts`:
    `{prompt, category, metadata, split, seed, index}` or `instructions`: `{pixels, question,
    answer, id, seed, index}`, or `questions`: `{benchmark, pixels, question, truth, seed, index}`.

    Args:
        resolution: Side length of the images in pixels.
        batch_sizes: Samples of each stream in the batch of one device.
        val_batch_size: Samples in an evaluation batch.
        trajectories: Stores that `collect` made with the model that is distilled: they are what the
            first round trains on, in place of trajectories that it would collect. Captions and
            instructions are then needed for later rounds only.
        questions: Benchmarks whose questions `validate` and `test` ask.
        skip_prompts: Regular expression; captions in which it is found are left out.
        repeat_captions: Use a caption as often as the files have it, instead of once, so that
            what is frequent in the data is frequent in training.
        **options: Those of `MultimodalDataModule`, above all `captions`, `instructions` and
            `web_text`, or `shapes` in their place; and those of `StreamsDataModule`, such as `seed`
            and `loader`.
    """

    def __init__(
        self,
        resolution: int,
        batch_sizes: DistillationBatchSizes = DistillationBatchSizes(),
        val_batch_size: int = 32,
        *,
        trajectories: StoredTrajectories | None = None,
        questions: Sequence[QuestionFiles] = (),
        skip_prompts: str | None = None,
        repeat_captions: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            resolution, batch_sizes=asdict(batch_sizes), val_batch_size=val_batch_size, **options
        )
        self.skip_prompts = _pattern(skip_prompts)
        self.repeat_captions = repeat_captions
        self.questions = questions
        self.trajectories = trajectories
        self._captions: list[str] | None = None
        self._requests: Sequence[tuple[Path, str]] | None = None

    def open_streams(self) -> dict[str, Stream]:
        """Open the texts; the streams `image` and `text` follow with `set_stores`.

        Captions and questions are read when they are asked for, which they are not where all
        trajectories come from stores.
        """
        # Stores that were set before Lightning got here stay.
        streams: dict[str, Stream] = {
            name: stream for name, stream in self._streams.items() if name in ("image", "text")
        }
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

    def image_prompts(
        self, count: int | None = None, used: int = 0, skip: str | None = None
    ) -> list[str]:
        """Captions for the teacher to generate images for, in a random order of this module's seed.

        Args:
            count: How many captions, different ones but with `repeat_captions`; all if missing.
            used: How many earlier rounds have taken: as long as there are others, they are taken.
            skip: Regular expression in place of `skip_prompts`.

        Raises:
            UserError: If there are fewer that are not skipped.
        """
        if self._captions is None:
            source = required(self.captions, "captions")
            self._captions = list(source.captions(self.bad_samples.skip))
        captions = self._captions
        pattern = self.skip_prompts if skip is None else _pattern(skip)
        if pattern is not None:
            captions = [text for text in captions if not pattern.search(text)]
        if not self.repeat_captions:
            captions = _distinct(captions)
        return self._select(captions, count, used, "captions")

    def text_requests(self, count: int | None = None, used: int = 0) -> list[tuple[Path, str]]:
        """Images and questions for the teacher to answer, in a random order of this module's seed.

        Args:
            count: How many different pairs; all if missing.
            used: How many earlier rounds have taken: as long as there are others, they are taken.

        Raises:
            UserError: If there are fewer different pairs.
        """
        if self._requests is None:
            source = required(self.instructions, "instructions")
            found = source.requests(self.bad_samples.skip)
            # Turns know which they are; millions of them are not to be held in memory.
            self._requests = found.distinct() if isinstance(found, Turns) else _distinct(found)
        return self._select(self._requests, count, used, "instructions")

    def set_stores(
        self,
        images: TrajectoryStore | Path | None,
        texts: TrajectoryStore | Path | None,
        *,
        mask_code: int,
        image_segments: int,
        text_segments: int,
        draws: StateDraws = UniformDraws(),
        partly_known: PartlyKnown = PartlyKnown(),
        text_draws: IterateDraws | StateDraws | None = None,
        text_mask_id: int | None = None,
    ) -> None:
        """Train on these trajectories from the next training loader on.

        Args:
            images: Finished store of image trajectories, or its folder; None for no such stream.
            texts: Finished store of text trajectories, or its folder; None for no such stream.
            mask_code: The code that stands for a masked image position.
            image_segments: Number of equal segments that image trajectories are cut into; it must
                divide the number that they were recorded for.
            text_segments: Number of segments that the Jacobi iterations of a block are cut into,
                or the denoising steps of one, which they must divide.
            draws: How the state of an image that a sample starts from is drawn.
            partly_known: How often a part of an image is known from the beginning.
            text_draws: How the iterate that a block of an answer starts from is drawn, or its
                state where texts are denoised; uniformly by default.
            text_mask_id: The id that stands for a masked token of text, where texts are denoised.

        Raises:
            UserError: If a store is not a finished one of its kind, its trajectories cannot be cut
                so, or the draws of texts are of the other kind.
        """
        check_text_draws(text_draws, denoised=text_mask_id is not None)
        self._streams.pop("image", None)
        self._streams.pop("text", None)
        if images is not None:
            self._streams["image"] = ImageTrajectoryStream(
                images, mask_code, image_segments, draws, partly_known
            )
        if texts is not None and text_mask_id is not None:
            states = UniformDraws() if text_draws is None else text_draws
            assert isinstance(states, StateDraws)  # by check_text_draws
            self._streams["text"] = DenoisedTextStream(texts, text_mask_id, text_segments, states)
        elif texts is not None:
            iterates = UniformIterates() if text_draws is None else text_draws
            assert isinstance(iterates, IterateDraws)  # by check_text_draws
            self._streams["text"] = TextTrajectoryStream(texts, text_segments, iterates)

    def first_images(self, count: int) -> list[ImageTrajectory]:
        """The first image trajectories that are trained on, so many at most; none without any."""
        found = self._streams.get("image")
        if not isinstance(found, ImageTrajectoryStream):
            return []
        return [found.dataset[index] for index in range(min(count, len(found)))]

    def first_texts(self, count: int) -> list[TextTrajectory | DenoisedText]:
        """The first text trajectories that are trained on, so many at most; none without any."""
        found = self._streams.get("text")
        if not isinstance(found, TextTrajectoryStream | DenoisedTextStream):
            return []
        return [found.dataset[index] for index in range(min(count, len(found)))]

    @property
    def trained_on(self) -> str:
        """Names the trajectories that are trained on; others have another name."""
        kinds = ImageTrajectoryStream | TextTrajectoryStream | DenoisedTextStream
        streams = [self._streams[name] for name in sorted(self._streams)]
        found = [stream.dataset.store for stream in streams if isinstance(stream, kinds)]
        return "/".join(store.fingerprint for store in found)

    def _select(
        self, entries: Sequence[_Entry], count: int | None, used: int, what: str
    ) -> list[_Entry]:
        """The `count` entries that follow those used, in a random order, round and round.

        Raises:
            UserError: If there are fewer.
        """
        if count is None:
            count = len(entries)
        if not 1 <= count <= len(entries):
            raise UserError(
                f"{count} trajectories asked for, but there are {len(entries)} {what} for them; "
                f"ask for 1 to {len(entries)}"
            )
        order = Permutation(len(entries), stable_hash(self.seed, f"{what}/0"))
        places = range(used, used + count)
        return [entries[order[place % len(entries)]] for place in places]


def _distinct(entries: Sequence[_Entry]) -> list[_Entry]:
    return list(dict.fromkeys(entries))


def _pattern(skip_prompts: str | None) -> re.Pattern[str] | None:
    """The compiled expression.

    Raises:
        UserError: If it is none.
    """
    try:
        return re.compile(skip_prompts) if skip_prompts is not None else None
    except re.error as error:
        raise UserError(
            f"skip_prompts is {skip_prompts!r}, which is not a regular expression: {error}; fix it"
        ) from None
