"""Images that are edited without a mask: some tokens are regenerated with another prompt."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..errors import UserError
from ..models.protocols import ImageModel
from ..utils.random import stateless_seed
from .contradictions import contradicting_tokens
from .image_sampling import ImageSampling, SamplingChanges
from .inpainting import inpaint_codes
from .options import check_choice, check_whole, seed_of_each

RemaskSchedule = Literal["constant", "cosine"]
Remasked = Literal["random", "contradicting"]

_GREEDY = SamplingChanges(token_temperature=0.0, confidence_temperature=0.0)


@dataclass(frozen=True)
class ImageEditing:
    """How images are edited without a mask.

    Args:
        rounds: How often tokens are masked and regenerated, each time in `sampling_steps` steps.
        remasked_share: Share of the tokens that the first round masks, above 0 and at most 1: the
            more, the better the prompt is satisfied, and the less of the image stays.
        remask_schedule: Whether all rounds mask as many (`constant`), or fewer and fewer
            (`cosine`): round r of R masks the share times cos(pi/2 (r - 1)/R).
        remasked: Which tokens are masked: `random` ones, or random ones among those that speak
            against the prompt (`contradicting`, looked for in every round with five passes over
            prompt and empty prompt), of which the last round masks all.
    """

    rounds: int = 4
    remasked_share: float = 0.5
    remask_schedule: RemaskSchedule = "constant"
    remasked: Remasked = "random"

    def check(self) -> None:
        """Raise on what cannot be done.

        Raises:
            UserError: Naming the value and its range.
        """
        check_whole(rounds=self.rounds)
        if self.rounds < 1:
            raise UserError(f"rounds is {self.rounds}; it must be at least 1")
        if not 0 < self.remasked_share <= 1:
            raise UserError(
                f"remasked_share is {self.remasked_share}; it must be above 0 and at most 1"
            )
        check_choice(RemaskSchedule, remask_schedule=self.remask_schedule)
        check_choice(Remasked, remasked=self.remasked)

    def tokens_remasked(self, round_number: int, image_tokens: int) -> int:
        """How many of so many tokens a round, 1 .. rounds, masks: at least one."""
        share = self.remasked_share
        if self.remask_schedule == "cosine":
            share *= math.cos(math.pi / 2 * (round_number - 1) / self.rounds)
        return max(1, round(share * image_tokens))


@torch.no_grad()
def edit_codes(
    model: ImageModel,
    prompts: Sequence[Sequence[int]],
    codes: Tensor,
    sampling: ImageSampling,
    editing: ImageEditing,
    seeds: Sequence[int] | None = None,
    negative_prompts: Sequence[Sequence[int]] | None = None,
) -> Tensor:
    """Edit images: in every round mask some tokens and regenerate them with the prompt.

    The last round is greedy.

    Args:
        model: Network in eval mode.
        prompts: Ids of each sample: what it is to become.
        codes: `(batch, image_tokens)` of the images.
        sampling: How a round samples.
        editing: How many rounds, and how many tokens they mask.
        seeds: One a sample; 0, 1, 2, ... by default. Which tokens are masked depends on it, too.
        negative_prompts: See `denoise_images`.

    Returns:
        Codes `(batch, image_tokens)`; `codes` is left alone.

    Raises:
        UserError: If an option is out of range.

    Source: the papers say only that tokens are masked at random, iteratively; rounds, shares and
    the choice of contradicting tokens are ours.
    """
    editing.check()
    seeds = seed_of_each(seeds, len(prompts))
    for number in range(1, editing.rounds + 1):
        eligible = torch.ones_like(codes, dtype=torch.bool)
        if editing.remasked == "contradicting":
            views = [stateless_seed(seed, number, stream="views") for seed in seeds]
            eligible = contradicting_tokens(model, prompts, codes, views, negative_prompts)
        last = number == editing.rounds and editing.remasked == "contradicting"
        masked = eligible if last else _remasked(seeds, number, editing, eligible)
        own = [stateless_seed(seed, number, stream="editing") for seed in seeds]
        how = _GREEDY.over(sampling) if number == editing.rounds else sampling
        codes = inpaint_codes(model, prompts, codes, masked, how, own, negative_prompts)
    return codes


def _remasked(seeds: Sequence[int], number: int, editing: ImageEditing, eligible: Tensor) -> Tensor:
    """Some of the eligible places of each sample `(batch, image_tokens)`, any as likely as any."""
    masked = torch.zeros(eligible.shape, dtype=torch.bool)
    for row, own, seed in zip(masked, eligible.cpu(), seeds, strict=True):
        generator = torch.Generator().manual_seed(stateless_seed(seed, number, stream="remasking"))
        places = own.nonzero()[:, 0]
        if len(places):
            count = editing.tokens_remasked(number, len(places))
            row[places[torch.randperm(len(places), generator=generator)[:count]]] = True
    return masked.to(eligible.device)
