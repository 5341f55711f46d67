"""Sizes of a MAGVIT-v2 image tokenizer."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from ...errors import UserError, shown

_LEVELS = ("encoder_multipliers", "decoder_multipliers", "encoder_blocks", "decoder_blocks")
"""The sizes that have one entry a resolution."""

_LARGEST = {"channels": 2**16, "bits": 24, "norm_groups": 2**16}
_LARGEST_LEVEL = 256
"""Larger networks exist nowhere but in a damaged `config.json`."""


@dataclass(frozen=True)
class MAGVITv2Config:
    """Sizes of a MAGVIT-v2 tokenizer; the defaults are those of the released Show-o checkpoint.

    A tuple has one entry a resolution, from that of the image down to that of the codes.

    Args:
        channels: Width that the multipliers multiply.
        encoder_multipliers: Width of each resolution in the encoder, in units of `channels`.
        decoder_multipliers: Width of each resolution in the decoder, in units of `channels`.
        encoder_blocks: Residual blocks of each resolution in the encoder.
        decoder_blocks: Residual blocks of each resolution in the decoder.
        bits: Latent channels, which are the bits of a code.
        norm_groups: Groups of every group normalization; must divide every width.
        isolated_patches: Whether every patch is encoded and decoded as an image of its own. A code
            then depends on nothing but its patch and changes nothing but its patch, which leaves
            a transformer less to learn; photographs would show the seams.
        temporal_halvings: How often the encoder halves time, of a tokenizer of clips, which takes
            images as well; 0 for one of images alone.

    Raises:
        UserError: If a value is not a count, the tuples differ in length, a width is not a
            multiple of `norm_groups`, or there are fewer changes of resolution than halvings.
    """

    channels: int = 128
    encoder_multipliers: tuple[int, ...] = (1, 2, 2, 4, 4)
    decoder_multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    encoder_blocks: tuple[int, ...] = (4, 3, 4, 3, 4)
    decoder_blocks: tuple[int, ...] = (4, 4, 3, 4, 3)
    bits: int = 13
    norm_groups: int = 32
    isolated_patches: bool = False
    temporal_halvings: int = 0

    def __post_init__(self) -> None:
        """Check the sizes, also against each other."""
        for name, most in _LARGEST.items():
            if not _is_count(value := getattr(self, name), most):
                raise UserError(
                    f"MAGVIT-v2 {name} is {shown(value)}; expected a whole number from 1 to "
                    f"{most:,}, correct it"
                )
        for name in _LEVELS:
            levels = getattr(self, name)
            if not isinstance(levels, tuple | list) or not all(map(_is_count, levels)):
                raise UserError(
                    f"MAGVIT-v2 {name} is {shown(levels)}; expected a list of whole numbers from 1 "
                    f"to {_LARGEST_LEVEL}, correct it"
                )
        lengths = {len(getattr(self, name)) for name in _LEVELS}
        if len(lengths) != 1 or not 1 <= min(lengths) <= 16:
            raise UserError(
                f"MAGVIT-v2 multipliers and blocks have lengths {sorted(lengths)}, expected one "
                "entry a resolution in each: give all four the same length"
            )
        for multiplier in {*self.encoder_multipliers, *self.decoder_multipliers}:
            if self.channels * multiplier % self.norm_groups:
                raise UserError(
                    f"MAGVIT-v2 width {self.channels * multiplier} is not a multiple of "
                    f"norm_groups={self.norm_groups}; choose another channels or norm_groups"
                )

        most = min(lengths) - 1
        if type(self.temporal_halvings) is not int or not 0 <= self.temporal_halvings <= most:
            raise UserError(
                f"MAGVIT-v2 temporal_halvings is {shown(self.temporal_halvings)}; expected a whole "
                f"number from 0 to {most}, the changes of resolution, correct it"
            )

    @property
    def frames_per_latent(self) -> int:
        """Frames of a clip that one latent frame stands for, but for the first."""
        return 1 << self.temporal_halvings

    def latent_frames(self, frames: int) -> int:
        """Latent frames of a clip.

        Raises:
            UserError: If it is not of one frame and a multiple of `frames_per_latent`.
        """
        latents, rest = divmod(frames - 1, self.frames_per_latent)
        if frames < 1 or rest or not self.temporal_halvings:
            expected = "an image"
            if self.temporal_halvings:
                expected = f"1 + a multiple of {self.frames_per_latent}"
            raise UserError(
                f"a clip has {frames} frames; the image tokenizer takes {expected}, give another "
                "number of frames or name another image tokenizer"
            )
        return 1 + latents

    def frames(self, latent_frames: int) -> int:
        """Frames of a clip of so many latent frames."""
        return 1 + (latent_frames - 1) * self.frames_per_latent

    @property
    def patch_size(self) -> int:
        """Height and width in pixels of the patch that one code stands for."""
        return 1 << (len(self.encoder_multipliers) - 1)

    @property
    def codebook_size(self) -> int:
        """Number of different codes."""
        return 1 << self.bits

    def tokens_of(self, resolution: int | None, option: str) -> int:
        """Tokens of an image that is cut into patches.

        Args:
            resolution: Its side length in pixels, if it is known.
            option: What gives their number otherwise, for the message.

        Raises:
            UserError: If the resolution is not known, or not a multiple of the patches.
        """
        if resolution is None:
            raise UserError(
                f"{option} is missing, and no data says how large images are; expected the "
                "number of tokens an image, set it"
            )
        if resolution % self.patch_size:
            raise UserError(
                f"the data has resolution {resolution}; expected a multiple of {self.patch_size}, "
                "the side of the image tokenizer's patches, choose another"
            )
        return (resolution // self.patch_size) ** 2

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read a parsed `config.json`, as `save_pretrained` writes it.

        Other keys are passed over: the released file holds none of these sizes, only notes of the
        library that wrote it. Weights of another size are found when they are loaded.
        """
        known = {field.name for field in fields(cls)}
        sizes: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
            if name in known
        }
        return cls(**sizes)

    def to_dict(self) -> dict[str, Any]:
        """The values of a `config.json`, as plain JSON."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if name != "temporal_halvings" or value  # files of images are as they were
        }


def _is_count(value: object, most: int = _LARGEST_LEVEL) -> bool:
    return type(value) is int and 1 <= value <= most
