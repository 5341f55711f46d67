"""MAGVIT-v2 image tokenizer (Yu et al., arXiv 2310.05737) in the layout of the Show-o checkpoints.

An encoder turns pixels into one latent vector a patch, a lookup-free quantizer turns a vector into
a code, and a decoder turns the codes back into pixels.
"""

import math
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor

from ...errors import UserError
from ..checkpoints import (
    IMAGE_TOKENIZER_FOLDER,
    load_state_into,
    read_config,
    resolve_folder,
    save_checkpoint,
)
from ..image_input import ImageEncoder
from .clips import inflate
from .config import MAGVITv2Config
from .convolutional import IMAGE_CHANNELS, Decoder, Encoder
from .patches import find_distinct, join_patches, split_patches
from .quantizer import LookupFreeQuantizer


class Reconstruction(NamedTuple):
    """What the tokenizer makes of a batch of images while it is trained.

    Attributes:
        pixels: `(batch, 3, height, width)`, not clamped.
        latents: `(batch, bits, rows, columns)` before quantization.
        codes: `(batch, rows * columns)`.

    Of clips, pixels and latents have frames before height or rows, and codes are those of one
    latent frame after the other.
    """

    pixels: Tensor
    latents: Tensor
    codes: Tensor


class MAGVITv2(ImageEncoder):
    """Image tokenizer: pixels in `[-1, 1]` to codes in raster order and back.

    With `temporal_halvings` it takes clips as well, `(batch, 3, frames, height, width)`, whose
    grids are `(latent frames, rows, columns)`; see `clips.py`.

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
        if config.temporal_halvings:
            inflate(self.encoder, self.decoder, config.temporal_halvings)

    def inflated(self, temporal_halvings: int) -> "MAGVITv2":
        """A tokenizer of clips that encodes and decodes images as this one does.

        Args:
            temporal_halvings: How often time is halved.

        Raises:
            UserError: If it is one of clips already, or has fewer changes of resolution.
        """
        if self.config.temporal_halvings:
            raise UserError(
                "the image tokenizer takes clips already; expected one of images, name another"
            )
        clips = deepcopy(self)
        clips.config = replace(self.config, temporal_halvings=temporal_halvings)
        if temporal_halvings:
            inflate(clips.encoder, clips.decoder, temporal_halvings)
        return clips

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
            latents, decoded = (join_patches(each[place], grid[-2:]) for each in (latents, decoded))
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
            return join_patches(self.encoder(patches)[place], grid[-2:])
        latents: Tensor = self.encoder(pixels)
        return latents

    def signs_to_pixels(self, signs: Tensor) -> Tensor:
        """Return the pixels `(batch, 3, height, width)` of signs `(batch, bits, rows, columns)`.

        The pixels are not clamped.
        """
        if self.config.isolated_patches:
            patches, place = find_distinct(split_patches(signs, 1))
            return join_patches(self.decoder(patches)[place], (signs.shape[-2], signs.shape[-1]))
        pixels: Tensor = self.decoder(signs)
        return pixels

    def grid_of(self, pixels: Tensor) -> tuple[int, ...]:
        """Return the `(rows, columns)` of codes that pixels `(batch, 3, height, width)` become.

        Of clips, `(latent frames, rows, columns)`.

        Raises:
            UserError: If the pixels have another shape, hold a part of a patch, or are a clip of
                frames that cannot be halved so often.
        """
        size = self.config.patch_size
        if pixels.ndim == 5 and pixels.shape[1] == IMAGE_CHANNELS:
            frames = self.config.latent_frames(pixels.shape[2])
            return frames, *self.grid_of(pixels[:, :, 0])
        if pixels.ndim != 4 or pixels.shape[1] != IMAGE_CHANNELS:
            raise UserError(
                f"pixels have shape {tuple(pixels.shape)}, expected (batch, 3, height, width): "
                "stack RGB images with channels first"
            )
        height, width = pixels.shape[2:]
        if height % size or width % size or not height or not width:
            raise UserError(
                f"an image of {height}x{width} pixels cannot be cut into patches of {size}x{size}; "
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
    def decode(self, codes: Tensor, grid: tuple[int, ...] | None = None) -> Tensor:
        """Return pixels `(batch, 3, height, width)` in `[-1, 1]` of codes `(batch, tokens)`.

        Args:
            codes: Codes in raster order.
            grid: `(rows, columns)` of the codes, or `(latent frames, rows, columns)` of those of
                clips; a square by default.

        Raises:
            UserError: If the codes do not fill the grid or lie outside of the codebook.
        """
        tokens = codes.shape[-1]
        grid = grid or (math.isqrt(tokens), math.isqrt(tokens))
        if codes.ndim != 2 or math.prod(grid) != tokens:
            raise UserError(
                f"codes have shape {tuple(codes.shape)}, expected (batch, {math.prod(grid)}) for a "
                f"grid of {'x'.join(map(str, grid))}: pass the grid=(rows, columns) of the image"
            )
        signs = self.quantize.codes_to_signs(codes, grid)
        return self.signs_to_pixels(signs).clamp(-1, 1)

    @classmethod
    def from_pretrained(cls, model_id: str | Path) -> Self:
        """Load a tokenizer in evaluation mode.

        Args:
            model_id: Local folder, hub id, or `shapes` for the one in this package; likewise those
                of a model whose folder holds its image tokenizer.

        Raises:
            UserError: If files are missing or their keys or shapes are not those of the config.
        """
        folder = _folder_of(model_id)
        config = MAGVITv2Config.from_dict(read_config(folder))
        with torch.device("meta"):
            model = cls(config)
        load_state_into(model, folder)
        return model.eval()

    @staticmethod
    def read_config(model_id: str | Path) -> MAGVITv2Config:
        """Read the sizes of a tokenizer without its weights; see `from_pretrained`."""
        return MAGVITv2Config.from_dict(read_config(_folder_of(model_id)))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.json` and `pytorch_model.safetensors` to a folder."""
        save_checkpoint(Path(folder), self.state_dict(), self.config.to_dict())


def _folder_of(model_id: str | Path) -> Path:
    """The folder of a tokenizer, or of the one within a model's folder."""
    folder = resolve_folder(model_id, "magvitv2")
    own = folder / IMAGE_TOKENIZER_FOLDER
    return own if own.is_dir() else folder
