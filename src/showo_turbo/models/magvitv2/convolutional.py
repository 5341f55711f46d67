"""The convolutional encoder and decoder of MAGVIT-v2, and their building blocks.

The blocks are those of VQGAN (Esser et al., arXiv 2012.09841). Attribute names (`norm1`,
`nin_shortcut`, `proj_out`, ...) are the keys of the released checkpoints.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

IMAGE_CHANNELS = 3
NORM_EPSILON = 1e-6


def group_norm(channels: int, groups: int) -> nn.GroupNorm:
    """Return the group normalization that every block uses."""
    return nn.GroupNorm(groups, channels, eps=NORM_EPSILON)


class ResidualBlock(nn.Module):
    """Two normalized 3x3 convolutions around a shortcut.

    Maps `(batch, in_channels, height, width)` to `(batch, out_channels, height, width)`; a 1x1
    convolution joins the shortcut where the widths differ.
    """

    def __init__(self, in_channels: int, out_channels: int, groups: int) -> None:
        super().__init__()
        self.norm1 = group_norm(in_channels, groups)
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.norm2 = group_norm(out_channels, groups)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1)
        self.nin_shortcut: nn.Conv2d | None = None
        if in_channels != out_channels:
            self.nin_shortcut = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """Apply the block to `(batch, in_channels, height, width)`."""
        hidden = self.conv1(functional.silu(self.norm1(features)))
        residual: Tensor = self.conv2(functional.silu(self.norm2(hidden)))
        shortcut: Tensor = features if self.nin_shortcut is None else self.nin_shortcut(features)
        return shortcut + residual


class AttentionBlock(nn.Module):
    """Single-head self-attention over all positions, added to its input."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = group_norm(channels, groups)
        self.q = nn.Conv2d(channels, channels, kernel_size=1)
        self.k = nn.Conv2d(channels, channels, kernel_size=1)
        self.v = nn.Conv2d(channels, channels, kernel_size=1)
        self.proj_out = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """Apply the block to `(batch, channels, height, width)`."""
        normalized = self.norm(features)
        query, key, value = (
            layer(normalized).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v)
        )
        attended = functional.scaled_dot_product_attention(query, key, value)
        attended = attended.transpose(1, 2).reshape(features.shape)
        output: Tensor = self.proj_out(attended)
        return features + output


class Downsample(nn.Module):
    """Halve height and width with a strided 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv: nn.Module = nn.Conv2d(channels, channels, kernel_size=3, stride=2)

    def forward(self, features: Tensor) -> Tensor:
        """Map `(batch, channels, height, width)` to half the height and width."""
        # Zeros on the right and at the bottom only: output i is centered on input 2i + 1.
        output: Tensor = self.conv(functional.pad(features, (0, 1, 0, 1)))
        return output


class Upsample(nn.Module):
    """Double height and width by repeating pixels, then smooth with a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map `(batch, channels, height, width)` to twice the height and width."""
        repeated = functional.interpolate(features, scale_factor=2.0, mode="nearest")
        output: Tensor = self.conv(repeated)
        return output


class MiddleBlock(nn.Module):
    """Residual block, attention, residual block: the bottom of encoder and decoder."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels, groups)
        self.attn_1 = AttentionBlock(channels, groups)
        self.block_2 = ResidualBlock(channels, channels, groups)

    def forward(self, features: Tensor) -> Tensor:
        """Apply the blocks to `(batch, channels, height, width)`."""
        output: Tensor = self.block_2(self.attn_1(self.block_1(features)))
        return output


class Level(nn.Module):
    """The residual blocks of one resolution, then a change to the next resolution, if any.

    Args:
        in_channels: Width before the first block, which changes it.
        out_channels: Width of everything after.
        blocks: Number of residual blocks.
        groups: Groups of the normalization.
        downsample: Whether to halve the resolution at the end.
        upsample: Whether to double the resolution at the end.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        blocks: int,
        groups: int,
        *,
        downsample: bool = False,
        upsample: bool = False,
    ) -> None:
        super().__init__()
        widths = [in_channels, *[out_channels] * blocks]
        self.block = nn.ModuleList(
            ResidualBlock(before, after, groups) for before, after in pairwise(widths)
        )
        self.downsample: nn.Module | None = Downsample(out_channels) if downsample else None
        self.upsample: nn.Module | None = Upsample(out_channels) if upsample else None

    def forward(self, features: Tensor) -> Tensor:
        """Apply the blocks, then `downsample` or `upsample` where the level has one."""
        for block in self.block:
            features = block(features)
        for resample in (self.downsample, self.upsample):
            if resample is not None:
                features = resample(features)
        return features


class Encoder(nn.Module):
    """Pixels `(batch, 3, height, width)` to latents `(batch, bits, rows, columns)`.

    `down` goes from the resolution of the image to that of the codes.

    Args:
        channels: Width that the multipliers multiply.
        multipliers: Width of each resolution, from that of the image on, in units of `channels`.
        blocks: Residual blocks of each resolution, in the same order.
        bits: Channels of the latents.
        groups: Groups of the normalization.
    """

    def __init__(
        self,
        channels: int,
        multipliers: Sequence[int],
        blocks: Sequence[int],
        bits: int,
        groups: int,
    ) -> None:
        super().__init__()
        widths = [channels * multiplier for multiplier in multipliers]
        self.conv_in = nn.Conv2d(IMAGE_CHANNELS, channels, kernel_size=3, padding=1)
        self.down = nn.ModuleList(
            Level(before, after, count, groups, downsample=index < len(widths) - 1)
            for index, (before, after, count) in enumerate(
                zip([channels, *widths[:-1]], widths, blocks, strict=True)
            )
        )
        self.mid = MiddleBlock(widths[-1], groups)
        self.norm_out = group_norm(widths[-1], groups)
        self.conv_out = nn.Conv2d(widths[-1], bits, kernel_size=3, padding=1)
        self.quant_conv = nn.Conv2d(bits, bits, kernel_size=1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the latents before quantization."""
        features = self.conv_in(pixels)
        for level in self.down:
            features = level(features)
        features = functional.silu(self.norm_out(self.mid(features)))
        latents: Tensor = self.quant_conv(self.conv_out(features))
        return latents


class Decoder(nn.Module):
    """Signs `(batch, bits, rows, columns)` to pixels `(batch, 3, height, width)`, not clamped.

    `up` is indexed like `down` of the encoder, so that its last entry is applied first.

    Args:
        channels: Width that the multipliers multiply.
        multipliers: Width of each resolution, from that of the image on, in units of `channels`.
        blocks: Residual blocks of each resolution, in the same order.
        bits: Channels of the signs.
        groups: Groups of the normalization.
    """

    def __init__(
        self,
        channels: int,
        multipliers: Sequence[int],
        blocks: Sequence[int],
        bits: int,
        groups: int,
    ) -> None:
        super().__init__()
        widths = [channels * multiplier for multiplier in multipliers]
        self.post_quant_conv = nn.Conv2d(bits, bits, kernel_size=1)
        self.conv_in = nn.Conv2d(bits, widths[-1], kernel_size=3, padding=1)
        self.mid = MiddleBlock(widths[-1], groups)
        self.up = nn.ModuleList(
            Level(before, after, count, groups, upsample=index > 0)
            for index, (before, after, count) in enumerate(
                zip([*widths[1:], widths[-1]], widths, blocks, strict=True)
            )
        )
        self.norm_out = group_norm(widths[0], groups)
        self.conv_out = nn.Conv2d(widths[0], IMAGE_CHANNELS, kernel_size=3, padding=1)

    def forward(self, signs: Tensor) -> Tensor:
        """Return the reconstructed pixels."""
        features = self.mid(self.conv_in(self.post_quant_conv(signs)))
        for level in reversed(self.up):
            features = level(features)
        pixels: Tensor = self.conv_out(functional.silu(self.norm_out(features)))
        return pixels
