"""What models are evaluated on: prompts to draw, and questions about images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from .bad_samples import Skip
from .prompts import PromptFile
from .sources import InstructionFiles, ShapesWorld
from .streams import Stream


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


def open_evaluation(
    stage: Literal["validate", "test"],
    prompts: PromptFiles | None,
    prompts_per_category: int | None,
    instructions: InstructionFiles | None,
    resolution: int,
    skip: Skip,
) -> list[tuple[str, Stream]]:
    """Open the streams `prompts` (one for each file) and `instructions`, where there are any.

    Args:
        stage: Which prompt files.
        prompts: Files of prompts.
        prompts_per_category: The first so many of each category of each file; all if missing.
        instructions: Images with questions and answers.
        resolution: Side length of the images in pixels.
        skip: Leaves out a bad record of the instructions, or refuses to.
    """
    streams: list[tuple[str, Stream]] = []
    if prompts is not None:
        paths = [prompts.validation] if stage == "validate" else prompts.test
        streams += [("prompts", PromptFile(path, prompts_per_category)) for path in paths]
    if instructions is not None:
        streams.append(("instructions", instructions.open(resolution, skip)))
    return streams
