"""What models are evaluated on: prompts to draw, and questions about images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from .sources import ShapesWorld


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
