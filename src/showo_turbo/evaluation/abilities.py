"""What changing images is measured on: cases, what becomes of them, and who can tell."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ..inference.loaded_model import LoadedModel
from ..sampling.editing import ImageEditing, edit_codes
from ..sampling.extrapolation import extrapolate_codes, place
from ..sampling.image_sampling import ImageSampling
from ..sampling.inpainting import inpaint_codes, masked_tokens
from ..sampling.parallel import decode_image_codes
from ..sampling.windows import Direction, plan_growth
from ..trajectories.checker import Checker

Ability = Literal["inpainting", "extrapolation", "editing"]

ABILITIES: tuple[Ability, ...] = get_args(Ability)

NOT_KNOWN = -1
"""Where no code was to stay."""


@dataclass(frozen=True, eq=False)
class AbilityCase:
    """An image to change.

    Attributes:
        ability: What is to be done with it.
        task: What kind of change that is, such as `recolor`; tables of shares are by task.
        prompts: What to generate. In extrapolation the first is that of the given image, and then
            there is one for each direction; else there is a single one.
        pixels: The image, `(3, height, width)` in [-1, 1].
        mask: In inpainting, `(height, width)` in [0, 1]: white is regenerated.
        directions: In extrapolation, where the image grows, see `plan_growth`.
        offset: In extrapolation, how many rows or columns of tokens fewer than half are kept.
        truth: What the checker needs to know of the case; nothing else reads it.
    """

    ability: Ability
    task: str
    prompts: tuple[str, ...]
    pixels: Tensor
    mask: Tensor | None = None
    directions: tuple[Direction, ...] = ()
    offset: int = 0
    truth: Any = None


class AbilityChecker(Checker):
    """A checker of a world that can tell, too, what became of an image that was changed."""

    @abstractmethod
    def ability_cases(
        self, ability: Ability, count: int, split: str = "test"
    ) -> Sequence[AbilityCase]:
        """Cases of an ability, always the same; a smaller number gives the first of them.

        Args:
            ability: What to do with the images.
            count: How many.
            split: Name of the prompts that they are made of.
        """

    @abstractmethod
    def satisfied(self, cases: Sequence[AbilityCase], pixels: Tensor) -> list[bool]:
        """Whether each image has become what its prompts say.

        Args:
            cases: Of one ability.
            pixels: `(cases, 3, height, width)` in [-1, 1] of the images after the change.
        """

    @abstractmethod
    def rest_unchanged(self, cases: Sequence[AbilityCase], pixels: Tensor) -> list[bool]:
        """Whether each image that was edited still shows all that the edit does not concern.

        Asked of editing only: with a mask, and when an image grows, codes are compared.

        Args:
            cases: Of editing.
            pixels: See `satisfied`.
        """


@dataclass(frozen=True, eq=False)
class ChangedImages:
    """What became of the images of some cases.

    Attributes:
        pixels: `(cases, 3, height, width)` in [-1, 1], all of them decoded from codes.
        codes: `(cases, rows, columns)`.
        known: Of the same shape: the codes that were to stay, -1 where none was; in editing,
            nowhere.
    """

    pixels: Tensor
    codes: Tensor
    known: Tensor

    def codes_unchanged(self) -> list[bool]:
        """Whether all codes that were to stay are as they were, bit for bit."""
        kept = (self.codes == self.known) | (self.known == NOT_KNOWN)
        found: list[bool] = kept.flatten(1).all(dim=1).tolist()
        return found


@torch.no_grad()
def change_images(
    bundle: LoadedModel,
    cases: Sequence[AbilityCase],
    sampling: ImageSampling,
    seeds: Sequence[int],
    *,
    editing: ImageEditing = ImageEditing(),
    regenerate: bool = False,
) -> ChangedImages:
    """Change one batch of images.

    Args:
        bundle: The networks, in eval mode.
        cases: Of one ability, all of which grow alike.
        sampling: How to sample; in extrapolation each direction, in editing each round.
        seeds: One a case.
        editing: How images are edited.
        regenerate: Whether to generate what the image should become from the prompts alone: in
            extrapolation the given part first, from the first prompt.

    Raises:
        UserError: If a prompt is too long or an option is out of range.
    """
    network, ability = bundle.network, cases[0].ability
    pixels = torch.stack([case.pixels for case in cases]).to(bundle.device)
    given = bundle.image_tokenizer.encode(pixels)
    prompts = [bundle.encode_prompts(case.prompts) for case in cases]
    first = [own[0] for own in prompts]
    drawn = decode_image_codes(network, first, sampling, seeds) if regenerate else given
    if ability == "extrapolation":
        growths = [plan_growth(bundle.grid_side, case.directions, case.offset) for case in cases]
        further = [own[1:] for own in prompts]
        grids = extrapolate_codes(network, further, drawn, growths, sampling, seeds)
        known = [place(*own, NOT_KNOWN) for own in zip(given, growths, strict=True)]
        codes = torch.stack(grids)
        return ChangedImages(bundle.decode_images(codes), codes, torch.stack(known))
    masked = torch.ones_like(given, dtype=torch.bool)
    if ability == "inpainting":
        masked = masks_of(cases, bundle.grid_side).to(bundle.device)
        if not regenerate:
            drawn = inpaint_codes(network, first, given, masked, sampling, seeds)
    elif not regenerate:
        drawn = edit_codes(network, first, given, sampling, editing, seeds)
    codes = bundle.as_grids(drawn)
    known_codes = bundle.as_grids(given.masked_fill(masked, NOT_KNOWN))
    return ChangedImages(bundle.decode_images(codes), codes, known_codes)


def masks_of(cases: Sequence[AbilityCase], side: int) -> Tensor:
    """Which tokens the masks of cases of inpainting mask, `(cases, side * side)` bool."""
    masks = [case.mask for case in cases if case.mask is not None]
    return torch.stack([masked_tokens(mask, side) for mask in masks])
