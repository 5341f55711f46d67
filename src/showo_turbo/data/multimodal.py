"""What pretraining and distillation share: the files they train and are evaluated on."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from .corpus import Corpus
from .datamodule import StreamsDataModule
from .files import PromptFiles
from .prompts import PromptFile
from .sources import CaptionSource, QuestionSource, Source, TextSource, check_source
from .streams import Stream


class MultimodalDataModule(StreamsDataModule):
    """Captions, questions about images, and texts; a corpus stands in for missing files.

    Evaluation goes through the streams `prompts`, one for each file, and `instructions`.

    Args:
        resolution: Side length of the images in pixels.
        captions: Captions with images to train on; in a distillation the teacher generates images
            for them, and their own are not read.
        instructions: Images with questions and answers to train on; in a distillation, the teacher
            answers.
        web_text: Texts to train on.
        prompts: Prompts to evaluate on; none if missing.
        val_instructions: Images, questions and answers to evaluate on; none if missing.
        prompts_per_category: Evaluates on the first so many prompts of each category of each file;
            on all if missing.
        batch_sizes: Samples of each stream in the batch of one device; 0 leaves a stream out.
        shapes: A corpus for all files that are not named, such as a generated `ShapesWorld`.
        **options: Those of `StreamsDataModule`.

    Attributes:
        question_resolution: Side length of the images of questions in pixels; the resolution.
    """

    def __init__(
        self,
        resolution: int,
        captions: CaptionSource | None = None,
        instructions: QuestionSource | None = None,
        web_text: TextSource | None = None,
        prompts: PromptFiles | None = None,
        val_instructions: QuestionSource | None = None,
        prompts_per_category: int | None = None,
        *,
        batch_sizes: Mapping[str, int],
        shapes: Corpus | None = None,
        **options: Any,
    ) -> None:
        super().__init__(batch_sizes, shapes=shapes, **options)
        check_source(captions, CaptionSource, "captions")
        check_source(instructions, QuestionSource, "instructions")
        check_source(web_text, TextSource, "web_text")
        check_source(val_instructions, QuestionSource, "val_instructions")
        if shapes is not None:
            captions = captions or shapes.captions("train")
            instructions = instructions or shapes.instructions("train")
            web_text = web_text or shapes.web_text()
            val_instructions = val_instructions or shapes.instructions("val")
            prompts = prompts or shapes.prompts()
        self.resolution = self.question_resolution = resolution
        self.captions = captions
        self.instructions = instructions
        self.web_text = web_text
        self.prompts = prompts
        self.val_instructions = val_instructions
        self.prompts_per_category = prompts_per_category

    def sources(self) -> Sequence[Source | None]:
        """Where the data comes from."""
        return (self.captions, self.instructions, self.web_text, self.val_instructions)

    def open_evaluation_streams(
        self, stage: Literal["validate", "test"]
    ) -> list[tuple[str, Stream]]:
        """Open the stage's prompts, and the questions, where there are any."""
        streams: list[tuple[str, Stream]] = []
        if self.prompts is not None:
            paths = [self.prompts.validation] if stage == "validate" else self.prompts.test
            streams += [("prompts", PromptFile(path, self.prompts_per_category)) for path in paths]
        if self.val_instructions is not None:
            questions = self.val_instructions.open(self.question_resolution, self.bad_samples.skip)
            streams.append(("instructions", questions))
        return streams
