"""The DataModules of pretraining: three streams for Show-o, images for its image tokenizer."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from .corpus import Corpus
from .datamodule import StreamsDataModule
from .multimodal import MultimodalDataModule
from .sources import CaptionSource, Source, check_source, required
from .stories import StorySource
from .streams import Stream


@dataclass(frozen=True)
class PretrainBatchSizes:
    """Samples of each stream in the batch of one device; 0 leaves a stream out.

    Args:
        image: Captions with images, to generate the images.
        text: Images with questions, to answer them.
        language: Texts alone.
        story: Stories of texts and images in turn, to go on with them.
    """

    image: int = 48
    text: int = 16
    language: int = 4
    story: int = 0


class PretrainDataModule(MultimodalDataModule):
    """Data to pretrain Show-o (arXiv 2408.12528, section 4): images to generate, questions, texts.

    Training batches hold the streams `image`: `{pixels, caption, image_id, seed}`, `text`:
    `{pixels, question, answer, id, seed}`, `language`: `{text, seed}` and `story`: `{texts, pixels,
    id, seed}`, whose texts and pixels are a list for each story. Evaluation batches hold `prompts`:
    `{prompt, category, metadata, split, seed, index}` or `instructions`: `{pixels, question,
    answer, id, seed, index}`.

    Args:
        resolution: Side length of the images in pixels.
        batch_sizes: Samples of each stream in the batch of one device.
        val_batch_size: Samples in an evaluation batch.
        question_resolution: Side length of the images of questions in pixels, where a vision
            encoder takes others than those that are generated, such as 336 for CLIP.
        stories: Stories of texts and images in turn.
        **options: Those of `MultimodalDataModule` and of `StreamsDataModule`.
    """

    def __init__(
        self,
        resolution: int,
        batch_sizes: PretrainBatchSizes = PretrainBatchSizes(),
        val_batch_size: int = 64,
        *,
        question_resolution: int | None = None,
        stories: StorySource | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            resolution, batch_sizes=asdict(batch_sizes), val_batch_size=val_batch_size, **options
        )
        check_source(stories, StorySource, "stories")
        self.question_resolution = question_resolution or resolution
        self.stories = stories

    def sources(self) -> Sequence[Source | None]:
        """Where the data comes from."""
        return (*super().sources(), self.stories)

    def open_streams(self) -> dict[str, Stream]:
        """Open the training streams that have a batch size."""
        streams: dict[str, Stream] = {}
        skip = self.bad_samples.skip
        if "image" in self.batch_sizes:
            streams["image"] = required(self.captions, "captions").open(self.resolution, skip)
        if "text" in self.batch_sizes:
            streams["text"] = required(self.instructions, "instructions").open(
                self.question_resolution, skip
            )
        if "language" in self.batch_sizes:
            streams["language"] = required(self.web_text, "web_text").open()
        if "story" in self.batch_sizes:
            streams["story"] = required(self.stories, "stories").open(self.resolution, skip)
        return streams


class ImageDataModule(StreamsDataModule):
    """Images to pretrain an image tokenizer on.

    Batches in training and validation are `{"pixels": (batch, 3, resolution, resolution), ...}`.

    Args:
        resolution: Side length of the images in pixels.
        captions: Images to train on, those that the captions file lists.
        val_captions: Images to validate on; none if missing.
        batch_size: Images in the batch of one device.
        val_batch_size: Images in a validation batch.
        shapes: A corpus for all files that are not named, such as a generated `ShapesWorld`.
        **options: Those of `StreamsDataModule`.
    """

    def __init__(
        self,
        resolution: int,
        captions: CaptionSource | None = None,
        val_captions: CaptionSource | None = None,
        batch_size: int = 64,
        val_batch_size: int = 64,
        shapes: Corpus | None = None,
        **options: Any,
    ) -> None:
        super().__init__({"images": batch_size}, val_batch_size, shapes=shapes, **options)
        check_source(captions, CaptionSource, "captions")
        check_source(val_captions, CaptionSource, "val_captions")
        if shapes is not None:
            captions = captions or shapes.captions("train")
            val_captions = val_captions or shapes.captions("val")
        self.resolution = resolution
        self.captions = captions
        self.val_captions = val_captions

    def sources(self) -> Sequence[Source | None]:
        """Where the images come from."""
        return (self.captions, self.val_captions)

    def open_streams(self) -> dict[str, Stream]:
        """Open the images to train on."""
        captions = required(self.captions, "captions")
        return {"images": captions.open(self.resolution, self.bad_samples.skip)}

    def open_evaluation_streams(
        self, stage: Literal["validate", "test"]
    ) -> list[tuple[str, Stream]]:
        """Open the validation images; there are no others to test on."""
        if self.val_captions is None:
            return []
        return [("images", self.val_captions.open(self.resolution, self.bad_samples.skip))]

    def on_before_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> Any:
        """Take the one stream out of its dict."""
        return batch["images"]
