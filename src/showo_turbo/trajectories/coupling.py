"""Choosing the noise of images so that a student can tell them apart by it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..errors import UserError
from ..models.protocols import ImageModel
from ..sampling.noise import noise_of
from .image_collector import ImageCollection, ImagePrompt
from .record import ImageTrajectory
from .source import Collecting, ImageSource
from .sources import Sampled, Wrapping


@dataclass(frozen=True)
class Coupled(Wrapping):
    """Images of another source, with the noise of each caption's images exchanged among them.

    Noise that has nothing to do with an image teaches a student to ignore it. Of each caption
    several images are generated (`images_per_caption`), and each is given the noise of one of them
    so that noises and images correspond as well as they can: the assignment that maximizes the sum
    of `z . f(y)`, with a fixed random projection f of the codes, centered over the caption's
    images. All noises are used once, so that they stay standard normal for every caption, while
    similar noises lead to similar images.

    Args:
        source: Generates the images.

    Source: minibatch optimal transport between noise and data (arXiv 2304.14772, 2302.00482), here
    within a condition and in a projection of discrete data.
    """

    source: ImageSource = field(default_factory=Sampled)

    def check(
        self, settings: ImageCollection, model: ImageModel, captions: Sequence[str] = ()
    ) -> None:
        """Look for what cannot be generated; see `ImageSource.check`."""
        if not model.noise_size:
            raise UserError(
                "Coupled chooses noise, but the student reads none; set the model's noise_size, "
                "such as 64"
            )
        super().check(settings, model, captions)

    def draw(
        self, collecting: Collecting, prompts: Sequence[ImagePrompt], seeds: Sequence[int]
    ) -> Sequence[ImageTrajectory | None]:
        """Generate an image for each prompt; see `ImageSource.draw`."""
        records = list(self.source.draw(collecting, prompts, seeds))
        noise = noise_of(collecting.networks["teacher"], seeds)
        assert noise is not None  # see check
        images = noise[:, 0].cpu()
        for _, group in groupby(range(len(prompts)), key=lambda place: prompts[place].text):
            drawn = [(place, record) for place in group if (record := records[place]) is not None]
            if not drawn:
                continue
            places = [place for place, _ in drawn]
            codes = torch.stack([record.codes.long() for _, record in drawn])
            for (place, record), chosen in zip(drawn, assign(codes, images[places]), strict=True):
                records[place] = replace(record, noise_seed=seeds[places[chosen]])
        return records


def assign(codes: Tensor, noise: Tensor) -> list[int]:
    """For each image the noise that it gets, see `Coupled`.

    Args:
        codes: `(images, image_tokens)`.
        noise: `(images, noise_size)`.
    """
    features = project(codes, noise.shape[1])
    benefit = (features - features.mean(dim=0)) @ noise.double().T
    _, columns = linear_sum_assignment(benefit.numpy(), maximize=True)
    return [int(column) for column in columns]


def project(codes: Tensor, size: int) -> Tensor:
    """A fixed random projection of codes: `f_d = sum_i a_id b_(y_i)d / sqrt(M)` with random signs.

    Args:
        codes: `(images, image_tokens)`.
        size: Numbers of the projection.

    Returns:
        `(images, size)` float64.
    """
    generator = torch.Generator().manual_seed(0)
    tokens = codes.shape[1]
    of_positions = torch.randint(0, 2, (tokens, size), generator=generator).double() * 2 - 1
    of_codes = _signs(codes, size)
    return (of_positions * of_codes).sum(dim=1) / math.sqrt(tokens)


def _signs(codes: Tensor, size: int) -> Tensor:
    """Random signs of codes, the same for a code everywhere: `(*codes.shape, size)` float64."""
    distinct, places = codes.unique(return_inverse=True)
    rows = [
        torch.randint(0, 2, (size,), generator=torch.Generator().manual_seed(1 + int(code)))
        for code in distinct
    ]
    signs = torch.stack(rows).double() * 2 - 1
    found: Tensor = signs[places]
    return found
