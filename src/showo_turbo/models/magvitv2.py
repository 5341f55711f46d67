"""MAGVIT-v2 image tokenizer (Yu et al., arXiv 2310.05737) in the layout of the Show-o checkpoints.

An encoder turns pixels into one latent vector a patch, a lookup-free quantizer turns a vector into
a code, and a decoder turns the codes back into pixels.
"""

import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from ..errors import UserError, shown
from .checkpoints import load_state_into, read_config, resolve_folder, save_checkpoint
from .convolutional import IMAGE_CHANNELS, Decoder, Encoder
from .patches import find_distinct, join_patches, split_patches
from .quantizer import LookupFreeQuantizer

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

    Raises:
        UserError: If a value is no count, the tuples differ in length or a width is no multiple of
            `norm_groups`.
    """

    channels: int = 128
    encoder_multipliers: tuple[int, ...] = (1, 2, 2, 4, 4)
    decoder_multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    encoder_blocks: tuple[int, ...] = (4, 3, 4, 3, 4)
    decoder_blocks: tuple[int, ...] = (4, 4, 3, 4, 3)
    bits: int = 13
    norm_groups: int = 32
    isolated_patches: bool = False

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
                    f"MAGVIT-v2 width {self.channels * multiplier} is no multiple of "
                    f"norm_groups={self.norm_groups}: choose another channels or norm_groups"
                )

    @property
    def patch_size(self) -> int:
        """Height and width in pixels of the patch that one code stands for."""
        return 1 << (len(self.encoder_multipliers) - 1)

    @property
    def codebook_size(self) -> int:
        """Number of different codes."""
        return 1 << self.bits

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
        }


def _is_count(value: object, most: int = _LARGEST_LEVEL) -> bool:
    return type(value) is int and 1 <= value <= most


class Reconstruction(NamedTuple):
    """What the tokenizer makes of a batch of images while it is trained.

    Attributes:
        pixels: `(batch, 3, height, width)`, not clamped.
        latents: `(batch, bits, rows, columns)` before quantization.
        codes: `(batch, rows * columns)`.
    """

    pixels: Tensor
    latents: Tensor
    codes: Tensor


class MAGVITv2(nn.Module):
    """Image tokenizer: pixels in `[-1, 1]` to codes in raster order and back.

    Args:
        config: Sizes; those of the released checkpoint by default. The weights are random, see
            `from_pretrained` for others.
    """

    def __init__(self, config: MAGVITv2Config = MAGVITv2Config()) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(
            config.channels,
            config.encoder_multipliers,
            config.encoder_blocks,
            config.bits,
            config.norm_groups,
        )
        self.decoder = Decoder(
            config.channels,
            config.decoder_multipliers,
            config.decoder_blocks,
            config.bits,
            config.norm_groups,
        )
        self.quantize = LookupFreeQuantizer(config.bits)

    def forward(self, pixels: Tensor) -> Reconstruction:
        """Encode, quantize and decode `(batch, 3, height, width)`, with gradients to the weights.

        Raises:
            UserError: If the pixels are no `(batch, 3, height, width)` of whole patches.
        """
        grid = self.grid_of(pixels)
        if self.config.isolated_patches:
            patches, place = find_distinct(split_patches(pixels, self.config.patch_size))
            latents: Tensor = self.encoder(patches)
            decoded: Tensor = self.decoder(self.quantize(latents))
            latents, decoded = (join_patches(each[place], grid) for each in (latents, decoded))
        else:
            latents = self.encoder(pixels)
            decoded = self.decoder(self.quantize(latents))
        return Reconstruction(decoded, latents, self.quantize.latents_to_codes(latents))

    def pixels_to_latents(self, pixels: Tensor) -> Tensor:
        """Return the latents `(batch, bits, rows, columns)` before quantization.

        Raises:
            UserError: If the pixels are no `(batch, 3, height, width)` of whole patches.
        """
        grid = self.grid_of(pixels)
        if self.config.isolated_patches:
            patches, place = find_distinct(split_patches(pixels, self.config.patch_size))
            return join_patches(self.encoder(patches)[place], grid)
        latents: Tensor = self.encoder(pixels)
        return latents

    def signs_to_pixels(self, signs: Tensor) -> Tensor:
        """Return the pixels `(batch, 3, height, width)` of signs `(batch, bits, rows, columns)`.

        The pixels are not clamped.
        """
        if self.config.isolated_patches:
            patches, place = find_distinct(split_patches(signs, 1))
            return join_patches(self.decoder(patches)[place], (signs.shape[2], signs.shape[3]))
        pixels: Tensor = self.decoder(signs)
        return pixels

    def grid_of(self, pixels: Tensor) -> tuple[int, int]:
        """Return the `(rows, columns)` of codes that pixels `(batch, 3, height, width)` become.

        Raises:
            UserError: If the pixels have another shape or hold a part of a patch.
        """
        size = self.config.patch_size
        if pixels.ndim != 4 or pixels.shape[1] != IMAGE_CHANNELS:
            raise UserError(
                f"pixels have shape {tuple(pixels.shape)}, expected (batch, 3, height, width): "
                "stack RGB images with channels first"
            )
        height, width = pixels.shape[2:]
        if height % size or width % size or not height or not width:
            raise UserError(
                f"an image of {height}x{width} pixels cannot be cut into patches of {size}x{size}: "
                f"resize or crop it to multiples of {size}"
            )
        return height // size, width // size

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Return the codes `(batch, rows * columns)` of pixels `(batch, 3, height, width)`.

        Raises:
            UserError: If the pixels are no `(batch, 3, height, width)` of whole patches.
        """
        return self.quantize.latents_to_codes(self.pixels_to_latents(pixels))

    @torch.no_grad()
    def decode(self, codes: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """Return pixels `(batch, 3, height, width)` in `[-1, 1]` of codes `(batch, tokens)`.

        Args:
            codes: Codes in raster order.
            grid: `(rows, columns)` of the codes; a square by default.

        Raises:
            UserError: If the codes do not fill the grid or lie outside of the codebook.
        """
        tokens = codes.shape[-1]
        rows, columns = grid or (math.isqrt(tokens), math.isqrt(tokens))
        if codes.ndim != 2 or rows * columns != tokens:
            raise UserError(
                f"codes have shape {tuple(codes.shape)}, expected (batch, {rows * columns}) for a "
                f"grid of {rows}x{columns}: pass the grid=(rows, columns) of the image"
            )
        signs = self.quantize.codes_to_signs(codes, (rows, columns))
        return self.signs_to_pixels(signs).clamp(-1, 1)

    @classmethod
    def from_pretrained(cls, model_id: str | Path) -> Self:
        """Load a tokenizer in evaluation mode.

        Args:
            model_id: Local folder, hub id, or `shapes` for the one in this package.

        Raises:
            UserError: If files are missing or their keys or shapes are not those of the config.
        """
        folder = resolve_folder(model_id, "magvitv2")
        config = MAGVITv2Config.from_dict(read_config(folder))
        with torch.device("meta"):
            model = cls(config)
        load_state_into(model, folder)
        return model.eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.json` and `pytorch_model.safetensors` to a folder."""
        save_checkpoint(Path(folder), self.state_dict(), self.config.to_dict())
