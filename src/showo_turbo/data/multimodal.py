"""What pretraining and distillation share: the files they train and are evaluated on."""

from collections.abc import Mapping
from typing import Literal

from .datamodule import StreamsDataModule
from .evaluation import PromptFiles
from .loader import LoaderOptions
from .prompts import PromptFile
from .sources import CaptionFiles, InstructionFiles, ShapesWorld, TextFiles
from .streams import Stream


class MultimodalDataModule(StreamsDataModule):
    """Captions, questions about images, and texts; a shapes world stands in for missing files.

    Evaluation goes through the streams `prompts`, one for each file, and `instructions`.

    Args:
        resolution: Side length of the images in pixels.
        captions: Captions with images.
        instructions: Images with questions and answers.
        web_text: Texts.
        prompts: Prompts to evaluate on; none if missing.
        val_instructions: Images with questions and answers to evaluate on; none if missing.
        prompts_per_category: Evaluates on the first so many prompts of each category of each file;
            on all if missing.
        batch_sizes: See `StreamsDataModule`, as are the others.
        val_batch_size: See there.
        seed: See there.
        samples_per_epoch: See there.
        loader: See there.
        shapes: See there.
        max_bad_samples: See there.
    """

    def __init__(
        self,
        resolution: int,
        captions: CaptionFiles | None,
        instructions: InstructionFiles | None,
        web_text: TextFiles | None,
        prompts: PromptFiles | None,
        val_instructions: InstructionFiles | None,
        prompts_per_category: int | None,
        batch_sizes: Mapping[str, int],
        val_batch_size: int,
        seed: int,
        samples_per_epoch: int | None,
        loader: LoaderOptions,
        shapes: ShapesWorld | None,
        max_bad_samples: int,
    ) -> None:
        super().__init__(
            batch_sizes, val_batch_size, seed, samples_per_epoch, loader, shapes, max_bad_samples
        )
        if shapes is not None:
            captions = captions or shapes.captions("train")
            instructions = instructions or shapes.instructions("train")
            web_text = web_text or shapes.web_text()
            val_instructions = val_instructions or shapes.instructions("val")
            prompts = prompts or PromptFiles.of(shapes)
        self.resolution = resolution
        self.captions = captions
        self.instructions = instructions
        self.web_text = web_text
        self.prompts = prompts
        self.val_instructions = val_instructions
        self.prompts_per_category = prompts_per_category

    def open_evaluation_streams(
        self, stage: Literal["validate", "test"]
    ) -> list[tuple[str, Stream]]:
        """Open the stage's prompts, and the questions, where there are any."""
        streams: list[tuple[str, Stream]] = []
        if self.prompts is not None:
            paths = [self.prompts.validation] if stage == "validate" else self.prompts.test
            streams += [("prompts", PromptFile(path, self.prompts_per_category)) for path in paths]
        if self.val_instructions is not None:
            questions = self.val_instructions.open(self.resolution, self.bad_samples.skip)
            streams.append(("instructions", questions))
        return streams
