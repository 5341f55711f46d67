"""Scores on the shapes world, where a program can tell whether an image satisfies its prompt."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from ..data.shapes.checker import check_images
from ..data.shapes.prompts import CATEGORIES, Prompt


class ShapesScore(Metric):
    """Share of images that satisfy their prompts, every category weighing the same.

    Unit: a share in [0, 1]. The six categories are those of GenEval (arXiv 2310.11513); the
    judge is the exact checker of the shapes world.
    """

    higher_is_better = True
    full_state_update = False

    satisfied: Tensor
    total: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("satisfied", torch.zeros(len(CATEGORIES)), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(len(CATEGORIES)), dist_reduce_fx="sum")

    def update(self, pixels: Tensor, metadata: Sequence[dict[str, Any]]) -> None:
        """Check images.

        Args:
            pixels: `(batch, 3, height, width)` in [-1, 1].
            metadata: GenEval-style prompt metadata, one an image.
        """
        images = ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        prompts = [Prompt.from_metadata(entry) for entry in metadata]
        results = check_images(images.permute(0, 2, 3, 1).cpu().numpy(), prompts)
        for prompt, result in zip(prompts, results, strict=True):
            place = CATEGORIES.index(prompt.category)
            self.satisfied[place] += result.satisfied
            self.total[place] += 1

    def compute(self) -> Tensor:
        """Mean over the categories that were seen; NaN when none was."""
        seen = self.total > 0
        return (self.satisfied[seen] / self.total[seen]).mean()

    def by_category(self) -> dict[str, float]:
        """Share of satisfied prompts in each category that was seen."""
        return {
            name: float(self.satisfied[i] / self.total[i])
            for i, name in enumerate(CATEGORIES)
            if self.total[i] > 0
        }


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
