"""MAGVIT-v2 in three dimensions: what makes a tokenizer of images one of clips as well.

Every 3x3 convolution becomes a causal one of 3x3x3, which sees frames before, but none behind, and
of which only the last temporal tap has weights at first: those of the image. Normalization and
attention look at one frame at a time. Time is halved behind the deepest changes of resolution of
the encoder, and doubled before those of the decoder. At first a clip's frames are thus encoded as
images are, of which every fourth remains with two halvings; an image, the one frame of a clip, is
always computed by the last taps alone, since the others would see nothing but zeros.

Source: MAGVIT-v2 (arXiv 2310.05737), section 3.2 (causal 3D convolutions) and the inflation of
MAGVIT (arXiv 2212.05199), section 3.1 (central inflation, causal here).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .convolutional import AttentionBlock, Decoder, Downsample, Encoder, Level, Upsample

TAPS = 3
"""Frames that a temporal kernel sees."""


class CausalConv3d(nn.Module):
    """A convolution over clips `(batch, channels, frames, height, width)`, or over images.

    Args:
        layer: The convolution of images that it begins as.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        outputs, inputs, height, width = layer.weight.shape
        weight = layer.weight.new_zeros(outputs, inputs, TAPS, height, width)
        weight[:, :, -1] = layer.weight.detach()
        self.weight = nn.Parameter(weight)
        assert layer.bias is not None  # as all of this network have one
        self.bias = nn.Parameter(layer.bias.detach().clone())
        self._stride = (layer.stride[0], layer.stride[1])
        padding = layer.padding
        assert not isinstance(padding, str)
        self._padding = (padding[0], padding[1])

    def forward(self, features: Tensor) -> Tensor:
        """Apply it; `TAPS - 1` frames of zeros come first."""
        if features.ndim == 4:
            last = self.weight[:, :, -1].contiguous()  # the very sums of the image
            return functional.conv2d(features, last, self.bias, self._stride, self._padding)
        padded = functional.pad(features, (0, 0, 0, 0, TAPS - 1, 0))
        stride, padding = (1, *self._stride), (0, *self._padding)
        return functional.conv3d(padded, self.weight, self.bias, stride, padding)


class Framewise(nn.Module):
    """A layer of images, applied to every frame of a clip by itself.

    Args:
        layer: The layer.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, features: Tensor) -> Tensor:
        """Apply it to an image or a clip."""
        if features.ndim == 4:
            output: Tensor = self.layer(features)
            return output
        frames = features.transpose(1, 2)
        applied: Tensor = self.layer(frames.flatten(0, 1))
        again: Tensor = applied.unflatten(0, frames.shape[:2])
        return again.transpose(1, 2)


class ClipUpsample(nn.Module):
    """Double height and width by repeating pixels, then smooth with a causal convolution.

    Args:
        layer: The layer of images that it begins as.
    """

    def __init__(self, layer: Upsample) -> None:
        super().__init__()
        self.conv = CausalConv3d(layer.conv)

    def forward(self, features: Tensor) -> Tensor:
        """Map `(batch, channels, [frames,] height, width)` to twice the height and width."""
        if features.ndim == 4:  # in the image's own way, so that its sums are the same
            repeated = functional.interpolate(features, scale_factor=2.0, mode="nearest")
        else:
            repeated = features.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1)
        output: Tensor = self.conv(repeated)
        return output


class TemporalDownsample(nn.Module):
    """Halve the frames but for the first, 1 + 2n to 1 + n; at first each second one is kept.

    Args:
        channels: Channels of `(batch, channels, frames, height, width)`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        weight = torch.zeros(channels, channels, TAPS)
        weight[:, :, -1] = torch.eye(channels)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Apply it to an image, which is a first frame, or a clip."""
        weight = self.weight[..., None, None]
        if features.ndim == 4:
            return functional.conv2d(features, weight[:, :, -1], self.bias)
        padded = functional.pad(features, (0, 0, 0, 0, TAPS - 1, 0))
        return functional.conv3d(padded, weight, self.bias, stride=(2, 1, 1))


class TemporalUpsample(nn.Module):
    """Double the frames but for the first, 1 + n to 1 + 2n; at first each comes twice.

    Args:
        channels: Channels of `(batch, channels, frames, height, width)`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(channels).repeat(2, 1))
        self.bias = nn.Parameter(torch.zeros(2 * channels))

    def forward(self, features: Tensor) -> Tensor:
        """Apply it to an image, which is a first frame, or a clip."""
        channels = features.shape[1]
        weight = self.weight[..., None, None]
        if features.ndim == 4:  # the second of the pair: the first is dropped
            return functional.conv2d(features, weight[channels:], self.bias[channels:])
        doubled = functional.conv3d(features, weight[..., None], self.bias)
        pairs: Tensor = doubled.unflatten(1, (2, channels))
        return pairs.permute(0, 2, 3, 1, 4, 5).flatten(2, 3)[:, :, 1:]


def inflate(encoder: Encoder, decoder: Decoder, temporal_halvings: int) -> None:
    """Make an encoder and a decoder of images those of clips, in place.

    Args:
        encoder: Takes `(batch, 3, frames, height, width)` afterwards, as well as images.
        decoder: Likewise the signs of a clip.
        temporal_halvings: How often time is halved; at most one less than there are resolutions.
    """
    _inflate_layers(encoder)
    _inflate_layers(decoder)
    for level in list(encoder.down)[:-1][-temporal_halvings:]:
        assert isinstance(level, Level) and isinstance(level.downsample, Downsample)
        assert isinstance(level.downsample.conv, CausalConv3d)
        halving = TemporalDownsample(len(level.downsample.conv.weight))
        level.downsample = nn.Sequential(level.downsample, halving)
    for level in list(decoder.up)[-temporal_halvings:]:
        assert isinstance(level, Level) and isinstance(level.upsample, ClipUpsample)
        doubling = TemporalUpsample(level.upsample.conv.weight.shape[1])
        level.upsample = nn.Sequential(doubling, level.upsample)


def _inflate_layers(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, Upsample):
            setattr(module, name, ClipUpsample(child))
        elif isinstance(child, AttentionBlock | nn.GroupNorm) or (
            isinstance(child, nn.Conv2d) and child.kernel_size == (1, 1)
        ):
            setattr(module, name, Framewise(child))
        elif isinstance(child, nn.Conv2d):
            setattr(module, name, CausalConv3d(child))
        else:
            _inflate_layers(child)
