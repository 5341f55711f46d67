"""Shares of good images by the category of their prompts, the base of GenEval and its like."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .names import NamedMetric


class CategoryScore(NamedMetric):
    """Base of scores that judge every image as good or not, and weigh every category the same.

    Unit: a share in [0, 1].

    Attributes:
        categories: The values that `tag` may have in the metadata of a prompt.
    """

    higher_is_better = True
    full_state_update = False
    categories: tuple[str, ...] = ()

    satisfied: Tensor
    total: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("satisfied", torch.zeros(len(self.categories)), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(len(self.categories)), dist_reduce_fx="sum")

    @abstractmethod
    def judge(self, pixels: Tensor, metadata: Sequence[Mapping[str, Any]]) -> list[bool]:
        """Whether each image satisfies its prompt; see `update`."""

    def update(self, pixels: Tensor, metadata: Sequence[Mapping[str, Any]]) -> None:
        """Judge images.

        Args:
            pixels: `(batch, 3, height, width)` in [-1, 1].
            metadata: A line of GenEval's metadata for each image.

        Raises:
            UserError: If a prompt asks for what there is no rule for.
        """
        for entry, satisfied in zip(metadata, self.judge(pixels, metadata), strict=True):
            place = self.categories.index(entry["tag"])
            self.satisfied[place] += satisfied
            self.total[place] += 1

    def compute(self) -> Tensor:
        """Mean over the categories that were seen; NaN when none was."""
        seen = self.total > 0
        return (self.satisfied[seen] / self.total[seen]).mean()

    def by_category(self) -> dict[str, float]:
        """Share of satisfied prompts in each category that was seen."""
        return {
            name: float(self.satisfied[place] / self.total[place])
            for place, name in enumerate(self.categories)
            if self.total[place] > 0
        }
