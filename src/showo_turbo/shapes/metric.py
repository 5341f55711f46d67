"""Scores on the shapes world, where a program can tell whether an image satisfies its prompt."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from ..metrics.categories import CategoryScore
from ..utils.images import to_bytes
from .checker import check_images
from .prompts import CATEGORIES, Prompt


def satisfies_shapes_prompt(pixels: Tensor, metadata: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Judge images of the shapes world with its exact checker.

    Args:
        pixels: `(batch, 3, 24, 24)` in [-1, 1].
        metadata: One entry an image, a line of GenEval's metadata.

    Raises:
        UserError: If a prompt asks for something that the world does not have.
    """
    prompts = [Prompt.from_metadata(dict(entry)) for entry in metadata]
    return [result.satisfied for result in check_images(to_bytes(pixels), prompts)]


class ShapesScore(CategoryScore):
    """Share of images that satisfy their prompts, every category weighing the same.

    Unit: a share in [0, 1]. The six categories are those of GenEval (arXiv 2310.11513); the
    judge is the exact checker of the shapes world.

    Args:
        options: `name`, what tables call it; others are those of torchmetrics.
    """

    categories = CATEGORIES

    def judge(self, pixels: Tensor, metadata: Sequence[Mapping[str, Any]]) -> list[bool]:
        """Whether each image satisfies its prompt, see `satisfies_shapes_prompt`."""
        return satisfies_shapes_prompt(pixels, metadata)


class ExactMatch(Metric):
    """Share of texts equal to their reference, white space at the ends aside. Unit: [0, 1]."""

    higher_is_better = True
    full_state_update = False

    matched: Tensor
    total: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("matched", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, texts: Sequence[str], references: Sequence[str]) -> None:
        """Compare texts with their references, in pairs."""
        pairs = zip(texts, references, strict=True)
        self.matched += sum(text.strip() == reference.strip() for text, reference in pairs)
        self.total += len(texts)

    def compute(self) -> Tensor:
        """The share; NaN before any update."""
        return self.matched / self.total
