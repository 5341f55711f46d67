"""Texts that equal their reference."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


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
