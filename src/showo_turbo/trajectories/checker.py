"""What judges whether an image satisfies its prompt."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from ..errors import UserError

PromptMetadata = Mapping[str, Any]
"""A line of GenEval's metadata: `prompt` is the text, `tag` the category."""


class Checker(ABC):
    """Judges images of the prompts that it understands.

    The checker of the generated shapes is `ShapesChecker`. One of a user's own derives from this
    class, in a file of its own, and is named by its import path:

        evaluation:
          checker: {class_path: my_checker.Mine}
    """

    @abstractmethod
    def can_judge(self, prompt: PromptMetadata) -> bool:
        """Whether images of a prompt can be judged."""

    @abstractmethod
    def judge(self, pixels: Tensor, prompts: Sequence[PromptMetadata]) -> Sequence[bool]:
        """Whether each image satisfies its prompt.

        Args:
            pixels: `(batch, 3, height, width)` in [-1, 1].
            prompts: One an image.
        """

    def describe(self, pixels: Tensor) -> Sequence[Hashable] | None:
        """What each image shows, equal for images of the same scene; None if it cannot tell.

        Optional: without it, images of the same codes count as the same.

        Args:
            pixels: See `judge`.
        """
        return None

    def judge_story(
        self, texts: Sequence[str], pixels: Tensor, told: Sequence[str], keyframes: Tensor
    ) -> Sequence[bool] | None:
        """Whether each step of a story was told right; None if it cannot tell.

        Optional: without it, stories are shown unmarked.

        Args:
            texts: The request, and the text of each step that is asked for.
            pixels: `(3, height, width)` in [-1, 1], the keyframe that the story begins with.
            told: The text of each step as it was told; there may be fewer or more.
            keyframes: `(told, 3, height, width)` in [-1, 1].

        Returns:
            One mark for each step that is asked for.
        """
        return None


def marks_of(checker: Checker, pixels: Tensor, prompts: Sequence[PromptMetadata]) -> list[bool]:
    """What a checker says of each image, see `Checker.judge`.

    Raises:
        UserError: If it does not say it of each.
    """
    found: Any = checker.judge(pixels, prompts)  # of a class that anyone may have written
    marks = [bool(mark) for mark in found] if isinstance(found, Iterable) else []
    if len(marks) != len(prompts):
        raise UserError(
            f"judge of {type(checker).__name__} gave {len(marks)} marks for {len(prompts)} images; "
            "expected True or False for each, return a list"
        )
    return marks
