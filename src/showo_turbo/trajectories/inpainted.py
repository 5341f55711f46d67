"""Images of which a box is generated once more: trajectories of inpainting and extrapolation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import UserError, check_kind
from ..models.protocols import ImageModel
from ..sampling.image_sampling import SamplingChanges
from ..utils.random import stateless_seed, uniform
from .image_collector import ImageCollection, ImagePrompt, record_images
from .partly_known import random_box
from .prompt_dropout import PromptDropout
from .record import ImageTrajectory
from .source import ADDED, Collecting, ImageSource, Network
from .sources import Sampled, changed_settings

LIKEST_OF = 32
"""So many other prompts are drawn, and the likest of them taken."""


@dataclass(frozen=True)
class Inpainted(ImageSource):
    """Images of a source in which a random box is masked, and generated once more.

    What is outside of the box is known from a trajectory's beginning, as when an image is inpainted
    or extrapolated; see `random_box`. Where `PartlyKnown` takes for granted that the box holds what
    it held, here a network fills it that sees the rest. Mix it with a source of whole images.

    Args:
        source: The images; sampled by the same network, as the stage samples, by default.
        sampling: How the box is sampled: what changes of how the stage samples.
        network: Which network fills the box, see `Sampled`.
        around: Share of the images of which the box is kept, and all around it generated.
        of_others: Share of the images that are of another prompt of the collection, the likest of a
            few: what is known contradicts the prompt, as when an image is edited.

    Raises:
        UserError: If a value is out of range.
    """

    source: ImageSource | None = None
    sampling: SamplingChanges = field(default_factory=SamplingChanges)
    network: Network = "base"
    around: float = field(default=0.0, metadata={ADDED: True})
    of_others: float = field(default=0.0, metadata={ADDED: True})

    def __post_init__(self) -> None:
        for name in ("around", "of_others"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(
                    f"{name} of Inpainted is {getattr(self, name)}; expected a share, set it to "
                    "0..1"
                )
        check_kind(self._images, ImageSource, "source of Inpainted")
        if isinstance(self.source, PromptDropout):
            raise UserError(
                "source of Inpainted is a PromptDropout, whose prompts would come back; put "
                "Inpainted into PromptDropout"
            )

    @property
    def _images(self) -> ImageSource:
        return self.source or Sampled(network=self.network)

    @property
    def needs_base(self) -> bool:
        """Whether it generates with the model that the run started from."""
        return self.network == "base" or self._images.needs_base

    def check(
        self, settings: ImageCollection, model: ImageModel, captions: Sequence[str] = ()
    ) -> None:
        """Look for what cannot be generated; see `ImageSource.check`."""
        if settings.segments != 1:
            raise UserError(
                f"Inpainted gives no targets at the ends of {settings.segments} segments; set "
                "image_segments to 1"
            )
        config = model.config
        if math.isqrt(config.image_tokens) ** 2 != config.image_tokens:
            raise UserError(
                f"Inpainted masks a box of a square of tokens, but an image has "
                f"{config.image_tokens}; choose another source"
            )
        changed_settings(settings, self.sampling).sampling.check(config)
        self._images.check(settings, model, captions)

    def draw(
        self, collecting: Collecting, prompts: Sequence[ImagePrompt], seeds: Sequence[int]
    ) -> Sequence[ImageTrajectory | None]:
        """Generate an image for each prompt; see `ImageSource.draw`."""
        shown = [self._shown(collecting, *asked) for asked in zip(prompts, seeds, strict=True)]
        results = list(self._images.draw(collecting, shown, seeds))
        places = [place for place, record in enumerate(results) if record is not None]
        if not places:
            return results
        network = collecting.networks[self.network]
        side = math.isqrt(network.config.image_tokens)
        boxes = [self._box(side, seeds[place]) for place in places]
        codes = torch.stack([record.codes for record in results if record is not None]).long()
        known = codes.masked_fill(torch.stack(boxes), network.mask_code).to(network.device)
        records = record_images(
            network,
            [prompts[place] for place in places],
            changed_settings(collecting.settings, self.sampling),
            [stateless_seed(seeds[place], stream="inpainting") for place in places],
            known,
        )
        for place, record in zip(places, records, strict=True):
            results[place] = record
        return results

    def _box(self, side: int, seed: int) -> Tensor:
        """What is masked, `(side * side,)` bool."""
        box = random_box(side, stateless_seed(seed, stream="box"))
        return ~box if uniform(seed, stream="around") < self.around else box

    def _shown(self, collecting: Collecting, prompt: ImagePrompt, seed: int) -> ImagePrompt:
        """The prompt of the image of which a part is known."""
        if uniform(seed, stream="other") >= self.of_others or not collecting.prompts:
            return prompt
        return likest_prompt(collecting.prompts, prompt, seed)


def likest_prompt(prompts: Sequence[ImagePrompt], prompt: ImagePrompt, seed: int) -> ImagePrompt:
    """Of a few prompts drawn at random, the one that shares most ids with a prompt.

    The likeness of two sets of ids is the size of their intersection over that of their union; a
    prompt of the same ids is taken only if all that are drawn have them.

    Args:
        prompts: To draw from.
        prompt: What it is to be like.
        seed: Of the draw.
    """
    own = set(prompt.ids)

    def likeness(other: ImagePrompt) -> float:
        ids = set(other.ids)
        return len(ids & own) / len(ids | own) if ids != own else -1.0

    draws = (stateless_seed(seed, number, stream="likest") for number in range(LIKEST_OF))
    return max((prompts[draw % len(prompts)] for draw in draws), key=likeness)
