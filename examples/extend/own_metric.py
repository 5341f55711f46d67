"""A metric of your own: how colorful the images are."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class Colorfulness(Metric):
    """Mean colorfulness of images, in units of 8-bit color: 0 is gray, 100 is very colorful.

    Source: Hasler and Suesstrunk, "Measuring colourfulness in natural images" (2003), M3.
    """

    higher_is_better = True
    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sum", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, pixels: Tensor, metadata: Sequence[Mapping[str, Any]]) -> None:
        """Take in images.

        Args:
            pixels: `(batch, 3, height, width)` in [-1, 1].
            metadata: One entry an image, its line of the prompts' file.
        """
        red, green, blue = ((pixels.float() + 1) * 127.5).flatten(2).unbind(1)
        opponents = torch.stack([red - green, (red + green) / 2 - blue])  # (2, batch, pixels)
        spread = opponents.std(dim=-1, correction=0).norm(dim=0)
        mean = opponents.mean(dim=-1).norm(dim=0)
        self.sum += (spread + 0.3 * mean).sum()
        self.count += len(pixels)

    def compute(self) -> Tensor:
        """The mean over all images."""
        return self.sum / self.count
