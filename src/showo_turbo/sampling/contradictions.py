"""Which tokens of an image speak against a prompt."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..models.protocols import ImageModel, with_noise
from ..utils.random import stateless_seed
from .noise import noise_of

PARTS = 4
"""An image is looked at with each of so many random parts of its tokens known."""

LEAST_NATS = 0.2
LEAST_SHARE = 0.3
"""What speaks against a prompt: at least so many nats, and this share of the strongest token's."""


def contradicting_tokens(
    model: ImageModel,
    prompts: Sequence[Sequence[int]],
    codes: Tensor,
    seeds: Sequence[int],
    negative_prompts: Sequence[Sequence[int]] | None = None,
) -> Tensor:
    """Find the tokens of images that should be others if the images were what the prompts say.

    See `contradictions`. Of an image that fits its prompt, there may be none.

    Args:
        model: Network in eval mode.
        prompts: Ids of each sample.
        codes: `(batch, image_tokens)`, none masked.
        seeds: One a sample.
        negative_prompts: In place of the empty prompt.

    Returns:
        `(batch, image_tokens)` bool.
    """
    nats = contradictions(model, prompts, codes, seeds, negative_prompts)
    strongest = nats.amax(dim=1, keepdim=True)
    return nats > (LEAST_SHARE * strongest).clamp(min=LEAST_NATS)


@torch.no_grad()
def contradictions(
    model: ImageModel,
    prompts: Sequence[Sequence[int]],
    codes: Tensor,
    seeds: Sequence[int],
    negative_prompts: Sequence[Sequence[int]] | None = None,
) -> Tensor:
    """How much likelier each token is without the prompt than with it.

    `log p(code_i | known, empty prompt) - log p(code_i | known, prompt)`, half of it with nothing
    known, and half the mean over the parts of a random division of the image of which each is known
    in turn; a token of the known part does not count there.

    Args:
        model: See `contradicting_tokens`, likewise for what follows.
        prompts: Likewise.
        codes: Likewise.
        seeds: Likewise.
        negative_prompts: Likewise.

    Returns:
        `(batch, image_tokens)` nats.

    Source: the contrast of two prompts as a mask is DiffEdit's (arXiv 2210.11427).
    """
    away = negative_prompts or [model.null_prompt_of(prompt) for prompt in prompts]
    noise = noise_of(model, [*seeds, *seeds])
    prefix = model.begin_images([*prompts, *away], **with_noise(noise))
    part = torch.stack([_division(seed, codes.shape[1]) for seed in seeds]).to(codes.device)

    def nats(hidden: Tensor) -> Tensor:
        state = codes.masked_fill(hidden, model.mask_code)
        logits = prefix.logits(torch.cat([state, state])).float().log_softmax(dim=-1)
        given, without = logits.gather(-1, codes.repeat(2, 1)[..., None])[..., 0].chunk(2)
        return (without - given).masked_fill(~hidden, 0.0)

    in_parts = sum((nats(part != number) for number in range(PARTS)), torch.zeros_like(codes))
    return (nats(torch.ones_like(codes, dtype=torch.bool)) + in_parts / (PARTS - 1)) / 2


def _division(seed: int, image_tokens: int) -> Tensor:
    """The part that each token of an image is in, `(image_tokens,)`; all of about one size."""
    generator = torch.Generator().manual_seed(stateless_seed(seed, stream="division"))
    order = torch.randperm(image_tokens, generator=generator)
    part = torch.empty(image_tokens, dtype=torch.long)
    part[order] = torch.arange(image_tokens) * PARTS // image_tokens
    return part
