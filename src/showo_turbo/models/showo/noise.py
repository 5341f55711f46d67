"""Noise that masked image tokens read, so that one prompt has more than one likeliest image."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NoiseEmbedding(nn.Module):
    """What is added to the embeddings of masked image tokens.

    A mask that is the same everywhere leaves a student of few steps with the mean of all images of
    a prompt: tokens that are sampled together must agree, and have nothing to agree by. Position i
    reads `U z + V eps_i` on top of the mask, z being one vector of noise for the whole image and
    eps_i one for each token. U and V are zero at first, so that a network with noise begins as the
    one without.

    Args:
        noise_size: Numbers in z and in each eps.
        hidden_size: Width of the embeddings.

    Source: stochastic masks as in IMDM (arXiv 2605.10518); see `perturb` for the other beginning.
    """

    def __init__(self, noise_size: int, hidden_size: int) -> None:
        super().__init__()
        self.image = nn.Linear(noise_size, hidden_size, bias=False)
        self.token = nn.Linear(noise_size, hidden_size, bias=False)
        for layer in (self.image, self.token):
            nn.init.zeros_(layer.weight)

    @torch.no_grad()
    def perturb(self, deviation: float) -> None:
        """Begin with another V: what a token reads is Gaussian noise of this standard deviation.

        The random numbers are the same in every process.

        Source: the perturbed embeddings of Di[M]O (arXiv 2503.15457), there with 0.1 to 0.3.
        """
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(self.token.weight.shape, generator=generator)
        self.token.weight.copy_(drawn * deviation / self.token.in_features**0.5)

    def forward(self, noise: Tensor, masked: Tensor) -> Tensor:
        """Return what is added to each image token.

        Args:
            noise: `(batch, 1 + image_tokens, noise_size)`: z, and eps of each token.
            masked: `(batch, image_tokens)` boolean; others read no noise.

        Returns:
            `(batch, image_tokens, hidden_size)`.
        """
        noise = noise.to(self.image.weight.dtype)
        added = self.image(noise[:, :1]) + self.token(noise[:, 1:])
        return cast(Tensor, added * masked[..., None])

    def add_to(self, embeddings: Tensor, noise: Tensor, masked: Tensor, end: int) -> Tensor:
        """Add the noise to the embeddings of a sequence with an image.

        Args:
            embeddings: `(batch, tokens, hidden_size)`.
            noise: See `forward`.
            masked: See `forward`.
            end: Tokens behind the image.
        """
        start = embeddings.shape[1] - masked.shape[1] - end
        return embeddings + F.pad(self(noise, masked), (0, 0, start, end))
