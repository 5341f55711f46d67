"""Sizes of a new MMaDA; those that follow from its tokenizers and images need not be given."""

from dataclasses import asdict, dataclass

from ...text_tokenizer import TextTokenizer
from ..magvitv2 import MAGVITv2Config
from .config import MMaDAConfig, Padding

_SPECIALS = 16
"""Special tokens behind those of the text tokenizer, which has its own end of text."""


@dataclass(frozen=True)
class MMaDASizes:
    """Sizes of an MMaDA that starts from random weights.

    Its special tokens follow those of the text tokenizer: the beginning of a text, those of images
    and tasks, the mask, and those of conversations; image codes follow.

    Args:
        image_tokens: Tokens an image; by default as many as the data's images have patches.
        max_text_length: Longest prompt in tokens, special ones included.
        padding: See `MMaDAConfig`.
        hidden_size: Width.
        layers: Number of transformer layers.
        heads: Attention heads.
        kv_heads: Heads of keys and values; as many as attention heads by default.
        intermediate_size: Width of the feed-forward layers; 8/3 x hidden by default, as large as
            one of 4 x hidden without a gate.
        rope_theta: Base of the rotary frequencies.
        max_position_embeddings: Longest sequence that the network is meant for.
    """

    image_tokens: int | None = None
    max_text_length: int = MMaDAConfig.max_text_length
    padding: Padding = MMaDAConfig.padding
    hidden_size: int = MMaDAConfig.hidden_size
    layers: int = MMaDAConfig.layers
    heads: int = MMaDAConfig.heads
    kv_heads: int | None = None
    intermediate_size: int | None = None
    rope_theta: float = MMaDAConfig.rope_theta
    max_position_embeddings: int = MMaDAConfig.max_position_embeddings

    def completed(
        self,
        images: MAGVITv2Config,
        text_tokenizer: TextTokenizer,
        resolution: int | None,
        image_tokenizer: str,
    ) -> MMaDAConfig:
        """The configuration of a network for these tokenizers.

        Args:
            images: Sizes of the image tokenizer.
            text_tokenizer: The text tokenizer.
            resolution: Side length of the data's images in pixels, if it is known.
            image_tokenizer: What the image tokenizer was loaded by.

        Raises:
            UserError: If the number of image tokens is neither given nor follows from the images,
                or a size is out of range.
        """
        given = {name: value for name, value in asdict(self).items() if value is not None}
        if self.image_tokens is None:
            given["image_tokens"] = images.tokens_of(resolution, "mmada.image_tokens")
        first = text_tokenizer.size
        followed = {
            "kv_heads": self.heads,
            "intermediate_size": self.hidden_size * 8 // 3,
            "text_vocabulary_size": first + _SPECIALS,
            "codebook_size": images.codebook_size,
            "vocabulary_size": first + _SPECIALS + images.codebook_size,
            "bos_id": first,
            "eos_id": text_tokenizer.eos_id,
            "soi_id": first + 1,
            "mask_id": first + 12,
            "start_header_id": first + 13,
        }
        return MMaDAConfig(tokenizer=None, image_tokenizer=image_tokenizer, **{**followed, **given})

    @classmethod
    def of(cls, config: MMaDAConfig) -> "MMaDASizes":
        """All sizes of a configuration."""
        return cls(**{name: getattr(config, name) for name in cls.__dataclass_fields__})
