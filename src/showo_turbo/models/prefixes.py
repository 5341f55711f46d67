"""What a model family computes before it decodes: the prefixes of images and of answers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, Self

from torch import Tensor

if TYPE_CHECKING:
    from .protocols import ImageModel


class ImagePrefix(Protocol):
    """Rows of images that are being decoded, each behind its prompt."""

    def logits(self, codes: Tensor) -> Tensor:
        """Predict every image token, masked or not.

        Args:
            codes: `(rows, image_tokens)`, `mask_code` where masked.

        Returns:
            `(rows, image_tokens, codebook)`.
        """


class TextPrefix(Protocol):
    """Rows of answers that are being written, each behind its image and question."""

    def logits(self, guesses: Sequence[Sequence[int]], *, restrict_to_text: bool = True) -> Tensor:
        """Predict what follows each row's last token and each of its guesses.

        Args:
            guesses: Guessed continuation of each row, of any length, of none as well.
            restrict_to_text: Whether only text tokens are scored.

        Returns:
            `(predictions, candidates)`, row after row: as many of each as it has guesses, and one
            more.
        """

    def keep(self, tokens: Sequence[Sequence[int]]) -> None:
        """Append tokens to the rows, and forget the other guesses.

        Args:
            tokens: At least one for each row; the guesses of the last `logits` must begin with all
                of them but the last.
        """

    def select(self, rows: Sequence[int]) -> None:
        """Go on with some of the rows only, in this order."""

    def join(self, other: Self) -> None:
        """Go on with the rows of another prefix of the same network, too, behind these."""


class WholeSequences:
    """An `ImagePrefix` of a family whose prompts see the image: each step computes everything.

    Args:
        model: Network in eval mode.
        prompts: Ids of each row.
        noise: `(rows, 1 + image_tokens, noise_size)`, if the network reads noise.
    """

    def __init__(
        self,
        model: "ImageModel",
        prompts: Sequence[Sequence[int]],
        noise: Tensor | None = None,
    ) -> None:
        self._model = model
        self._prompts = prompts
        self._noise = with_noise(noise)

    def logits(self, codes: Tensor) -> Tensor:
        """Predict every image token, masked or not; see `ImagePrefix`."""
        return self._model.image_logits(self._prompts, codes, **self._noise)


def with_noise(noise: Tensor | None) -> dict[str, Tensor]:
    """The argument `noise`, for networks that read some; none for those that need not know it."""
    return {} if noise is None else {"noise": noise}
