"""Sizes of a new Show-o; those that follow from its tokenizers and images need not be given."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from ...text_tokenizer import TextTokenizer
from ..image_input import ImageInputKind
from ..magvitv2 import MAGVITv2Config
from .config import OF_FEATURES, ShowoConfig


@dataclass(frozen=True)
class ShowoSizes:
    """Sizes of a Show-o that starts from random weights.

    Of one that starts from other weights only what its images are given as can be chosen, by
    `image_input` and what follows.

    Args:
        text_vocabulary_size: Text tokens; those of the text tokenizer by default.
        codebook_size: Codes; those of the image tokenizer by default.
        image_tokens: Tokens an image, or a clip; by default as many as the data's images have
            patches, times the latent frames of a clip.
        eos_id: Id of `<|endoftext|>`; that of the text tokenizer by default.
        max_text_length: Longest prompt in tokens, `sot` and `eot` included.
        hidden_size: Width.
        layers: Number of transformer layers.
        heads: Attention heads.
        intermediate_size: Width of the feed-forward layers; 4 x hidden by default.
        partial_rotary_factor: Share of each head's dimensions that rotate.
        max_position_embeddings: Longest sequence that the rotary table is meant for.
        noise_size: Numbers of noise that an image, and each of its tokens, reads; 0 for none.
        image_input: How images are given to the network when it is asked about them; see
            `ShowoConfig`, likewise for what follows.
        vision_encoder: Folder or hub id of CLIP.
        vision_tokens: Features that it gives of an image.
        vision_width: Numbers of each of them.
        system_prompt: What comes before the features of an image.
        prefix_visible: Whether features see all that comes before them.
        video_frames: Latent frames of a clip, to generate clips instead of images; 0 for images.
    """

    text_vocabulary_size: int | None = None
    codebook_size: int | None = None
    image_tokens: int | None = None
    eos_id: int | None = None
    max_text_length: int = ShowoConfig.max_text_length
    hidden_size: int = ShowoConfig.hidden_size
    layers: int = ShowoConfig.layers
    heads: int = ShowoConfig.heads
    intermediate_size: int | None = None
    partial_rotary_factor: float = ShowoConfig.partial_rotary_factor
    max_position_embeddings: int = ShowoConfig.max_position_embeddings
    noise_size: int = 0
    image_input: ImageInputKind = ShowoConfig.image_input
    vision_encoder: str | None = ShowoConfig.vision_encoder
    vision_tokens: int = ShowoConfig.vision_tokens
    vision_width: int = ShowoConfig.vision_width
    system_prompt: str = ShowoConfig.system_prompt
    prefix_visible: bool = ShowoConfig.prefix_visible
    video_frames: int = 0

    def completed(
        self,
        images: MAGVITv2Config,
        text_tokenizer: TextTokenizer,
        resolution: int | None,
        image_tokenizer: str,
    ) -> ShowoConfig:
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
            tokens = images.tokens_of(resolution, "showo.image_tokens")
            given["image_tokens"] = max(1, self.video_frames) * tokens
        followed = {
            "text_vocabulary_size": text_tokenizer.size,
            "codebook_size": images.codebook_size,
            "eos_id": text_tokenizer.eos_id,
        }
        return ShowoConfig(tokenizer=None, image_tokenizer=image_tokenizer, **{**followed, **given})

    @property
    def features(self) -> dict[str, Any]:
        """What it says of the features that images are given as; see `Showo.read_features`."""
        return {name: getattr(self, name) for name in OF_FEATURES}

    @classmethod
    def of(cls, config: ShowoConfig) -> "ShowoSizes":
        """All sizes of a configuration."""
        return cls(**{name: getattr(config, name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class SizeChanges:
    """Sizes of a Show-o that goes on from another's weights: those that no weight depends on.

    Args:
        image_tokens: Tokens an image, such as four times as many for images of twice the side, or a
            clip; by default as many as the data's images have patches, times the latent frames.
        max_text_length: Longest prompt in tokens, `sot` and `eot` included; that of the other by
            default.
        max_position_embeddings: Longest sequence; that of the other by default.
        video_frames: Latent frames of a clip, to generate clips, not images; those of the other
            by default.
    """

    image_tokens: int | None = None
    max_text_length: int | None = None
    max_position_embeddings: int | None = None
    video_frames: int | None = None

    def over(self, config: ShowoConfig, images: MAGVITv2Config, resolution: int) -> ShowoConfig:
        """The configuration with these changes.

        Args:
            config: The other's.
            images: Sizes of the image tokenizer.
            resolution: Side length of the data's images in pixels.

        Raises:
            UserError: If a size is out of range, or images are not of whole patches.
        """
        changes = {name: value for name, value in asdict(self).items() if value is not None}
        tokens = images.tokens_of(resolution, "changed_sizes.image_tokens")
        tokens *= max(1, changes.get("video_frames", config.video_frames))
        return replace(config, **({"image_tokens": tokens} | changes))
