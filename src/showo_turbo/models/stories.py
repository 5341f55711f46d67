"""Stories, texts and images in turn: what decoding needs of those that are being told."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from .protocols import ImagePrefix, TextPrefix


class StoryPrefix(Protocol):
    """Rows of stories that are being told, each of any length.

    Texts and images are decoded over what is there, and become part of it once they are kept.
    """

    @property
    def text_follows(self) -> bool:
        """Whether the rows, as they began, go on with a text; else with an image."""

    @property
    def room(self) -> list[int]:
        """Tokens that still fit behind each row."""

    def texts(self) -> "TextPrefix":
        """Begin to write the next text of every row."""

    def images(self, guided: bool, noise: Tensor | None = None) -> "ImagePrefix":
        """Begin to generate the next image of every row.

        Args:
            guided: Whether as many rows follow that know nothing of the stories.
            noise: See `ImageModel.image_logits`.
        """

    def keep_texts(self, texts: Sequence[Sequence[int]]) -> None:
        """Append a text to every row.

        Args:
            texts: Text ids of each, without the end of text.
        """

    def keep_images(self, codes: Tensor) -> None:
        """Append an image to every row; it is computed once more, as it has become.

        Args:
            codes: `(rows, image_tokens)`, none of them masked.
        """

    def select(self, rows: Sequence[int]) -> None:
        """Go on with some of the rows only, in this order."""
