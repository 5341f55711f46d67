"""The images of many questions, each encoded once."""

from collections.abc import Hashable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from .image_sources import AskedSource
from .loaded_model import LoadedModel

REMEMBERED = 64
"""So many images stay encoded for further questions about them: as many as a batch has at most."""


class EncodedImages:
    """Encodes images when a question about them is reached, once while they are remembered.

    Args:
        model: Encodes them.
        images: The image of each question; the same file or object is the same image.
    """

    def __init__(self, model: LoadedModel, images: Sequence[AskedSource]) -> None:
        self._model = model
        self._images = images
        # With each image itself: the identity of an object is its own only as long as it exists.
        self._encoded: dict[Hashable, tuple[AskedSource, Tensor]] = {}

    def rows(self, questions: range) -> Tensor:
        """The images of some of the questions, as the model is given them.

        Args:
            questions: Which of them.

        Raises:
            UserError: If a file cannot be read.
        """
        asked = [self._images[index] for index in questions]
        distinct = {_key(image): image for image in asked}
        new = {key: image for key, image in distinct.items() if key not in self._encoded}
        if new:
            encoded = self._model.encode_asked_images(list(new.values()))
            pairs = zip(new.values(), encoded, strict=True)
            self._encoded |= dict(zip(new, pairs, strict=True))
        rows = torch.stack([self._encoded[_key(image)][1] for image in asked])
        for key in distinct:  # the most recent come last
            self._encoded[key] = self._encoded.pop(key)
        for key in list(self._encoded)[:-REMEMBERED]:
            del self._encoded[key]
        return rows


def _key(image: AskedSource) -> Hashable:
    """What tells images apart: the path of a file, or which object it is."""
    return Path(image) if isinstance(image, str | Path) else id(image)
