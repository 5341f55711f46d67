"""Random numbers of samples: each from its own seed, the same in any batch, on every device."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..models.protocols import ImageModel
from ..utils.random import stateless_seed
from .halton import orientation_of


def noise_of(model: ImageModel, seeds: Sequence[int]) -> Tensor | None:
    """The noise that a network reads of images, see `ImageModel.image_logits`.

    The first three numbers of an image are -1 or 1, and say how its order of revealing is turned
    with the reveal order `oriented_halton`; all others are standard normal.

    Args:
        model: The network.
        seeds: One an image.

    Returns:
        `(batch, 1 + image_tokens, noise_size)`; None if it reads none.
    """
    if not model.noise_size:
        return None
    shape = (1 + model.config.image_tokens, model.noise_size)
    rows = []
    for seed in seeds:
        row = torch.randn(shape, generator=torch.Generator().manual_seed(_own(seed)))
        turned = torch.tensor(orientation_of(seed)[: model.noise_size])
        row[0, : len(turned)] = 2.0 * turned - 1
        rows.append(row)
    return torch.stack(rows).to(model.device)


def _own(seed: int) -> int:
    """A seed of its own: the noise is independent of what the sampler draws from the same seed."""
    return stateless_seed(seed, stream="noise")


def mixed_start(
    codes: Tensor, seeds: Sequence[int], share: float, mask_code: int, codebook_size: int
) -> Tensor:
    """What a network reads of images that begin with random codes in place of some masks.

    Args:
        codes: `(batch, image_tokens)`, `mask_code` where unknown.
        seeds: One an image: places and codes depend on nothing else, so that they stay the same
            from step to step.
        share: Probability with which an unknown token is shown as a random code.
        mask_code: The code that stands for a masked token.
        codebook_size: Number of codes.

    Returns:
        The codes, with random ones at some of the unknown places.

    Source: the initial states of Di[M]O (arXiv 2503.15457) and ReDi (arXiv 2507.15897).
    """
    shown = torch.full(codes.shape, mask_code)
    for row, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(stateless_seed(seed, stream="start"))
        drawn = torch.randint(codebook_size, codes.shape[1:], generator=generator)
        chosen = torch.rand(codes.shape[1:], generator=generator) < share
        shown[row] = torch.where(chosen, drawn, mask_code)
    return torch.where(codes == mask_code, shown.to(codes), codes)


class SamplerNoise:
    """What a sampler draws for each image, step by step.

    Args:
        seeds: One an image.
        image_tokens: Tokens an image.
        device: Where the numbers go.
    """

    def __init__(self, seeds: Sequence[int], image_tokens: int, device: torch.device) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.image_tokens = image_tokens
        self.device = device

    def uniform(self) -> Tensor:
        """`(batch, image_tokens)` in [0, 1)."""
        rows = [torch.rand(self.image_tokens, generator=g) for g in self.generators]
        return torch.stack(rows).to(self.device)

    def gumbel(self, scale: float) -> Tensor:
        """`(batch, image_tokens)` Gumbel noise; a zero when `scale` is 0."""
        if scale == 0:
            return torch.zeros(1, 1, device=self.device)
        uniform = self.uniform().clamp(1e-20, 1 - 1e-7)
        return -scale * (-uniform.log()).log()


class TextNoise:
    """What is drawn for each sample, step by step, from its own seed.

    Args:
        seeds: One a sample.
        device: Where the numbers go.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.device = device

    def uniform(self, samples: Sequence[int], *shape: int) -> Tensor:
        """`(samples, *shape)` in [0, 1), float64."""
        rows = [
            torch.rand(shape, generator=self.generators[sample], dtype=torch.float64)
            for sample in samples
        ]
        return torch.stack(rows).to(self.device)
