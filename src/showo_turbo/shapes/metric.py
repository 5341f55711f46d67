"""Scores on the shapes world, where a program can tell whether an image satisfies its prompt."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..errors import UserError
from ..evaluation.checker import Checker, PromptMetadata
from ..metrics.categories import CategoryScore
from ..utils.images import to_bytes
from .checker import check_images, read_images
from .prompts import CATEGORIES, Prompt
from .scene import Scene


class ShapesChecker(Checker):
    """The exact checker of the shapes world."""

    def can_judge(self, prompt: PromptMetadata) -> bool:
        """Whether a prompt asks for what the world has."""
        try:
            Prompt.from_metadata(dict(prompt))
        except (UserError, KeyError, TypeError):
            return False
        return True

    def judge(self, pixels: Tensor, prompts: Sequence[PromptMetadata]) -> list[bool]:
        """Whether each image satisfies its prompt.

        Args:
            pixels: `(batch, 3, 24, 24)` in [-1, 1].
            prompts: One entry an image, a line of GenEval's metadata.

        Raises:
            UserError: If a prompt asks for something that the world does not have.
            ValueError: If the images have another size.
        """
        wanted = [Prompt.from_metadata(dict(entry)) for entry in prompts]
        return [result.satisfied for result in check_images(to_bytes(pixels), wanted)]

    def describe(self, pixels: Tensor) -> list[Scene | None]:
        """The scene of each image: its objects with shape, color and cell, and its background.

        Args:
            pixels: See `judge`.

        Returns:
            None for images that cannot be read.
        """
        return [reading.scene for reading in read_images(to_bytes(pixels))]


class ShapesScore(CategoryScore):
    """Share of images that satisfy their prompts, every category weighing the same.

    Unit: a share in [0, 1]. The six categories are those of GenEval (arXiv 2310.11513); the
    judge is the exact checker of the shapes world.

    Args:
        options: `name`, what tables call it; others are those of torchmetrics.
    """

    categories = CATEGORIES

    def judge(self, pixels: Tensor, metadata: Sequence[Mapping[str, Any]]) -> list[bool]:
        """Whether each image satisfies its prompt, see `ShapesChecker`."""
        return ShapesChecker().judge(pixels, metadata)
