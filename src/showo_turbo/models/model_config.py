"""What the configuration of every model family says."""

import math
from typing import Any, Protocol, Self


class ModelConfig(Protocol):
    """Sizes of a network, and the tokenizers that go with it.

    A family that writes text has `text_vocabulary_size` and `text_room`, the text tokens that fit
    behind an image, question and answer together, as well; one that tells stories has
    `max_position_embeddings`, the tokens of the longest.

    Attributes:
        family: Short name of the architecture, recorded with trajectories.
        image_tokens: Tokens an image.
        codebook_size: Codes of the image tokenizer.
        image_tokenizer: `shapes`, folder or hub id of the image tokenizer; None if it lies in the
            model's own folder, as `image_tokenizer`.
        needs_text_tokenizer: Whether prompts are encoded by a text tokenizer.
        tokenizer: Folder or hub id of the text tokenizer; None if `tokenizer.json` lies in the
            model's own folder, or if there is none.
        values_per_token: Numbers that decoding keeps in memory for a token of a sequence, in a
            cache and as activations; chooses the first batch size.
    """

    @property
    def family(self) -> str:
        """Short name of the architecture."""

    @property
    def image_tokens(self) -> int:
        """Tokens an image."""

    @property
    def codebook_size(self) -> int:
        """Codes of the image tokenizer."""

    @property
    def image_tokenizer(self) -> str | None:
        """The image tokenizer."""

    @property
    def needs_text_tokenizer(self) -> bool:
        """Whether prompts are encoded by a text tokenizer."""

    @property
    def tokenizer(self) -> str | None:
        """The text tokenizer."""

    @property
    def values_per_token(self) -> int:
        """Numbers that decoding keeps in memory for a token."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read a parsed `config.json`.

        Raises:
            UserError: If a value is of the wrong type or out of range.
        """

    def to_dict(self) -> dict[str, Any]:
        """The `config.json`, as plain JSON; its `_class_name` is the name of the family's class."""


def token_grid(config: ModelConfig) -> tuple[int, ...]:
    """The `(rows, columns)` of an image's tokens, or `(latent frames, rows, columns)` of a clip's.

    A family that generates clips says so by `video_frames` in its configuration: `image_tokens`
    are those of a clip.
    """
    frames = video_frames(config)
    side = math.isqrt(config.image_tokens // max(1, frames))
    return (frames, side, side) if frames else (side, side)


def video_frames(config: ModelConfig) -> int:
    """Latent frames of the clips that a model generates; 0 for one of images."""
    return int(getattr(config, "video_frames", 0))
