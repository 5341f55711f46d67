"""Losses that train the MAGVIT-v2 image tokenizer (Yu et al., arXiv 2310.05737, section 3.1).

A latent channel `z` is read as a bit: the probability that it is set is a softmax over the squared
distances to the two signs, `exp(-(z - 1)^2)` against `exp(-(z + 1)^2)`, which is `sigmoid(4 z)`.
Entropies are in nats. All take clips, too, whose frames come before height or rows.
"""

import torch
from torch import Tensor
from torch.nn import functional

# (z + 1)^2 - (z - 1)^2 = 4 z: the logit of "set" against "not set".
DISTANCE_LOGIT = 4.0

# Keeps the gradient of p log p finite where a code is never used.
SMALLEST_PROBABILITY = 1e-12


def reconstruction_error(
    reconstructed: Tensor, pixels: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Return the weighted mean squared error.

    Args:
        reconstructed: `(batch, 3, height, width)`.
        pixels: The images themselves, of the same shape.
        weights: Of the pixels, `(batch, height, width)`; equal by default.
    """
    squared = (reconstructed - pixels).square().mean(dim=1)
    return squared.mean() if weights is None else (squared * weights).sum() / weights.sum()


def signal_to_noise(reconstructed: Tensor, pixels: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each image `(batch,)`, in decibels.

    Args:
        reconstructed: `(batch, 3, height, width)` in `[-1, 1]`.
        pixels: The images themselves, of the same shape.

    Source: `10 log10(peak^2 / mean squared error)`, with the range of the pixels, 2, for the peak.
    """
    squared = (reconstructed.float() - pixels.float()).square()
    error = squared.mean(dim=tuple(range(1, pixels.ndim)))
    return 10 * (4 / error.clamp_min(1e-10)).log10()


def object_weights(pixels: Tensor, object_weight: float, tolerance: float = 0.1) -> Tensor:
    """Return weights `(batch, height, width)`: `object_weight` for objects, 1 for background.

    Small objects before a plain background fill few pixels: with equal weights a tokenizer paints
    the background well and forgets them. The background color is the median of the image's border,
    channel by channel; a pixel that differs from it belongs to an object.

    Args:
        pixels: `(batch, 3, height, width)` in `[-1, 1]`.
        object_weight: Weight of a pixel of an object.
        tolerance: Largest difference of a channel that still counts as background.
    """
    border = torch.cat(
        [pixels[..., 0, :], pixels[..., -1, :], pixels[..., :, 0], pixels[..., :, -1]], dim=-1
    )
    background = border.median(dim=-1).values[..., None, None]
    is_object = ((pixels - background).abs() > tolerance).any(dim=1)
    return torch.where(is_object, object_weight, 1.0)


def commitment_loss(latents: Tensor) -> Tensor:
    """Return the mean squared distance of latents `(batch, bits, rows, columns)` to their signs.

    It keeps the latents near the only two values that the decoder ever sees.
    """
    signs = torch.where(latents > 0, 1.0, -1.0)
    return (latents - signs).square().mean()


def sample_entropy(latents: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean entropy of a bit given its patch; low where the encoder is decided.

    Args:
        latents: `(batch, bits, rows, columns)` before quantization.
        weights: Of the patches, `(batch, rows, columns)`; equal by default.
    """
    logits = latents.movedim(1, -1).flatten(0, -2) * DISTANCE_LOGIT
    entropies = functional.softplus(logits) - logits * torch.sigmoid(logits)
    return _mean_over_patches(entropies, weights).mean()


def bit_entropy(latents: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean entropy of a bit over all patches; high where both its values are used.

    It treats the bits as independent, as the released tokenizer does: it is cheap for any codebook,
    but it also reaches its maximum where bits are copies of each other.

    Args:
        latents: `(batch, bits, rows, columns)` before quantization.
        weights: Of the patches, `(batch, rows, columns)`; equal by default.
    """
    mean = _mean_over_patches(_set_probabilities(latents), weights)
    return (_information(mean) + _information(1 - mean)).mean()


def codebook_entropy(latents: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the entropy of the code over all patches, divided by the number of bits.

    Unlike `bit_entropy` it takes the bits together, so that it is high only where many codes are
    used. It needs `batch * rows * columns * 2 ** bits` numbers.

    Args:
        latents: `(batch, bits, rows, columns)` before quantization.
        weights: Of the patches, `(batch, rows, columns)`; equal by default.
    """
    set_probabilities = _set_probabilities(latents)
    probabilities = torch.ones_like(set_probabilities[:, :1])
    for bit in range(latents.shape[1]):
        is_set = set_probabilities[:, bit : bit + 1]
        probabilities = torch.cat([probabilities * (1 - is_set), probabilities * is_set], dim=1)
    mean = _mean_over_patches(probabilities, weights)
    return _information(mean).sum() / latents.shape[1]


def entropy_loss(latents: Tensor, weights: Tensor | None = None, *, joint: bool = False) -> Tensor:
    """Return the entropy of a bit given its patch, less the entropy over all patches.

    Minimizing it makes the encoder decided about every patch and varied over patches. With `joint`
    it is minus the mutual information of patch and code, divided by the number of bits.

    Args:
        latents: `(batch, bits, rows, columns)` before quantization.
        weights: Of the patches, `(batch, rows, columns)`; equal by default.
        joint: Whether the second entropy is `codebook_entropy` rather than `bit_entropy`.
    """
    varied = codebook_entropy if joint else bit_entropy
    return sample_entropy(latents, weights) - varied(latents, weights)


def _set_probabilities(latents: Tensor) -> Tensor:
    """Return the probability that a bit is set, `(batch * rows * columns, bits)`."""
    return torch.sigmoid(latents.movedim(1, -1).flatten(0, -2) * DISTANCE_LOGIT)


def _information(probability: Tensor) -> Tensor:
    """Return `-p log p`."""
    return -probability * probability.clamp_min(SMALLEST_PROBABILITY).log()


def _mean_over_patches(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return the weighted mean `(columns,)` of values `(patches, columns)`."""
    if weights is None:
        return values.mean(dim=0)
    mean: Tensor = weights.flatten() @ values / weights.sum()
    return mean
