"""Random masks for learning to denoise tokens of images and of texts, and the student's drafts."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..losses.language_model import IGNORED
from ..losses.term import Draft, NoisedTexts
from ..sampling.mask_schedules import MaskSchedule, masked_share
from ..utils.random import stateless_seed

LEAST_PROBABILITY = 1e-3
"""With which a token of a text is masked, so that its inverse stays finite."""


def mask_texts(tokens: Tensor, mask_id: int, seeds: Sequence[int]) -> NoisedTexts:
    """Mask each token of a text with a probability p, `(1 - 1e-3) t + 1e-3` with t uniform.

    Args:
        tokens: `(texts, tokens)`; those that are masked already stay so, and are not counted.
        mask_id: What masked tokens become.
        seeds: One a text: p and the masks depend on nothing else.

    Source: LLaDA (arXiv 2502.09992), algorithm 1.
    """
    chosen = torch.zeros(tokens.shape, dtype=torch.bool)
    probabilities = torch.zeros(len(tokens))
    for row, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed)
        t = torch.rand((), generator=generator)
        probabilities[row] = (1 - LEAST_PROBABILITY) * t + LEAST_PROBABILITY
        chosen[row] = torch.rand(tokens.shape[1], generator=generator) < probabilities[row]
    maskable = tokens != mask_id
    masked = chosen.to(tokens.device) & maskable
    return NoisedTexts(
        tokens.masked_fill(masked, mask_id),
        tokens.masked_fill(~masked, IGNORED),
        probabilities.to(tokens.device),
        maskable.sum(dim=1),
    )


def mask_codes(
    codes: Tensor, mask_code: int, seeds: Sequence[int], schedule: MaskSchedule = "cosine"
) -> Tensor:
    """Mask a random share of each sample's codes, the share itself drawn through the schedule.

    Args:
        codes: `(batch, image_tokens)`.
        mask_code: What masked codes become.
        seeds: One a sample: share and positions depend on nothing else.
        schedule: A progress r uniform in [0, 1) masks `schedule(r)` of the tokens, at least one.

    Returns:
        `(batch, image_tokens)`.

    Source: MaskGIT (arXiv 2202.04200), section 3.1.
    """
    image_tokens = codes.shape[1]
    masked = torch.zeros(codes.shape, dtype=torch.bool)
    for row, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed)
        share = masked_share(float(torch.rand((), generator=generator)), schedule)
        count = max(1, round(share * image_tokens))
        masked[row, torch.randperm(image_tokens, generator=generator)[:count]] = True
    return codes.masked_fill(masked.to(codes.device), mask_code)


def mask_frame_by_frame(codes: Tensor, mask_code: int, seeds: Sequence[int], frames: int) -> Tensor:
    """Mask clips as they are when their frames are generated one after the other.

    Args:
        codes: `(batch, image_tokens)`, those of the first latent frame first.
        mask_code: What masked codes become.
        seeds: One a clip: its masks depend on nothing else.
        frames: Latent frames of a clip. Each is as likely to be the one that a random share of is
            masked, as in `mask_codes`; those before it are known, and those after it masked.

    Returns:
        `(batch, image_tokens)`.
    """
    size = codes.shape[1] // frames
    masked = torch.full_like(codes, mask_code)
    for row, seed in enumerate(seeds):
        start = size * int(torch.randint(frames, (), generator=_generator(seed, "frame")))
        masked[row, :start] = codes[row, :start]
        frame = codes[row : row + 1, start : start + size]
        masked[row, start : start + size] = mask_codes(frame, mask_code, [seed])[0]
    return masked


def draw_codes(logits: Tensor, seeds: Sequence[int]) -> Tensor:
    """Draw each token of images for itself, at temperature 1.

    Args:
        logits: `(batch, image_tokens, codebook)`.
        seeds: One a sample: its draws depend on nothing else.

    Returns:
        `(batch, image_tokens)`.
    """
    cumulative = logits.detach().float().softmax(dim=-1).cumsum(dim=-1)
    rows = [torch.rand(logits.shape[1], generator=_generator(seed, "draws")) for seed in seeds]
    threshold = torch.stack(rows).to(logits.device)[..., None] * cumulative[..., -1:]
    return (cumulative <= threshold).sum(dim=-1).clamp(max=logits.shape[-1] - 1)


def draft_from(
    logits: Tensor, state: Tensor, masked: Tensor, mask_code: int, seeds: Sequence[int]
) -> Draft:
    """Draw the masked tokens of a state at once, and mask a random share of all tokens again.

    Args:
        logits: `(batch, image_tokens, codebook)` from the state.
        state: `(batch, image_tokens)`.
        masked: `(batch, image_tokens)` boolean, what is masked in it.
        mask_code: What masked tokens become.
        seeds: One a sample: what is drawn and masked depends on nothing else.
    """
    codes = torch.where(masked, draw_codes(logits, seeds), state)
    own = [stateless_seed(seed, stream="draft/masks") for seed in seeds]
    again = mask_codes(codes, mask_code, own)
    return Draft(codes, again, masked & (again == mask_code))


def corrupt_codes(
    state: Tensor, drawn: Tensor, visible: Tensor, most: float, seeds: Sequence[int]
) -> Tensor:
    """Replace a random share of visible tokens.

    Args:
        state: `(batch, image_tokens)`.
        drawn: `(batch, image_tokens)`, what they are replaced by.
        visible: `(batch, image_tokens)` boolean.
        most: Largest share: an image's own is uniform between 0 and this, and each of its visible
            tokens is replaced with that probability.
        seeds: One a sample: what is replaced depends on nothing else.
    """
    replaced = torch.zeros(state.shape, dtype=torch.bool)
    for row, seed in enumerate(seeds):
        generator = _generator(seed, "corruption")
        share = most * torch.rand((), generator=generator)
        replaced[row] = torch.rand(state.shape[1], generator=generator) < share
    return torch.where(replaced.to(state.device) & visible, drawn, state)


def _generator(seed: int, stream: str) -> torch.Generator:
    return torch.Generator().manual_seed(stateless_seed(seed, stream=stream))
