"""Colors of objects, named by CLIP."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from ..similarity import load_open_clip
from ..weights import OPEN_CLIP, required_file
from .rules import FoundObject

COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
TEMPLATES = (
    "a photo of a {color} {name}",
    "a photo of a {color}-colored {name}",
    "a photo of a {color} object",
)
BACKGROUND = 153
"""Gray that hides what is not the object, `#999`."""


class ColorNamer(nn.Module):
    """Chooses the color whose descriptions are most like the object on a gray ground.

    Args:
        weights: File of an open_clip network.
        architecture: Its name in open_clip. The benchmark's own has OpenAI's weights, which need
            `ViT-L-14-quickgelu`: their activation is not that of `ViT-L-14`.

    Raises:
        UserError: If the weights are missing or do not fit.
    """

    def __init__(self, weights: Path, architecture: str = "ViT-H-14") -> None:
        super().__init__()
        path = required_file(weights, OPEN_CLIP, "GenEval")
        self.network, self.transform = load_open_clip(path, architecture)
        self.tokenizer = open_clip.get_tokenizer(architecture)
        self._known: dict[str, Tensor] = {}

    @torch.no_grad()
    def forward(self, image: NDArray[np.uint8], objects: Sequence[FoundObject]) -> list[str]:
        """Name the color of each object, all of one class.

        Args:
            image: RGB `(height, width, 3)`.
            objects: At least one, in that image.
        """
        crops = torch.stack([self.transform(cut_out(image, entry)) for entry in objects])
        device = next(self.network.parameters()).device
        seen = self.network.encode_image(crops.to(device), normalize=True)
        best = (seen @ self._classifier(objects[0].name).T).argmax(dim=1)
        return [COLORS[index] for index in best.tolist()]

    def _classifier(self, name: str) -> Tensor:
        """A direction for each color of a class: the mean of its descriptions."""
        if name not in self._known:
            device = next(self.network.parameters()).device
            rows = []
            for color in COLORS:
                texts = [template.format(color=color, name=name) for template in TEMPLATES]
                tokens = self.tokenizer(texts).to(device)
                rows.append(self.network.encode_text(tokens, normalize=True).mean(dim=0))
            self._known[name] = nn.functional.normalize(torch.stack(rows), dim=1)
        return self._known[name]


def cut_out(image: NDArray[np.uint8], entry: FoundObject) -> Image.Image:
    """The object's box, with what is not the object in gray."""
    shown = image
    if entry.mask is not None:
        shown = np.where(entry.mask[:, :, None], image, np.uint8(BACKGROUND)).astype(np.uint8)
    left, top, right, bottom = (round(value) for value in entry.box)
    return Image.fromarray(shown[top : max(bottom, top + 1), left : max(right, left + 1)])
