"""The images of many questions, each encoded once."""

from collections.abc import Hashable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from .loaded_model import ImageSource, LoadedModel

REMEMBERED = 256
"""So many images at most stay encoded until the next question about them: of CLIP, 0.6 GB."""


class EncodedImages:
    """Encodes images when a question about them is reached, and forgets them after the last.

    If very many are waiting for further questions, the oldest are encoded again.

    Args:
        model: Encodes them.
        images: The image of each question; the same file or object is the same image.
    """

    def __init__(self, model: LoadedModel, images: Sequence[ImageSource]) -> None:
        self._model = model
        self._images = images
        self._keys = [_key(image) for image in images]
        self._last = {key: place for place, key in enumerate(self._keys)}
        self._encoded: dict[Hashable, Tensor] = {}

    def rows(self, questions: range) -> Tensor:
        """The images of some of the questions, as the model is given them.

        Args:
            questions: Consecutive questions; no question before them is going to be asked for.

        Raises:
            UserError: If a file cannot be read.
        """
        for key in [key for key in self._encoded if self._last[key] < questions.start]:
            del self._encoded[key]
        new = {self._keys[index]: self._images[index] for index in questions}
        new = {key: image for key, image in new.items() if key not in self._encoded}
        if new:
            encoded = self._model.encode_asked_images(list(new.values()))
            self._encoded |= dict(zip(new, encoded, strict=True))
        rows = torch.stack([self._encoded[self._keys[index]] for index in questions])
        for key in list(self._encoded)[:-REMEMBERED]:
            del self._encoded[key]
        return rows


def _key(image: ImageSource) -> Hashable:
    """What tells images apart: the path of a file, or which object it is."""
    return id(image) if isinstance(image, Image.Image) else Path(image)
