"""Guided parallel decoding of images: all tokens masked at first, the surest revealed first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UserError
from ..models.model_config import ModelConfig, video_frames
from ..models.protocols import ImageModel, ImagePrefix, with_noise
from .halton import halton_order, oriented_halton_order, square_side
from .image_sampling import ImageSampling
from .mask_schedules import tokens_left_masked
from .noise import SamplerNoise, mixed_start, noise_of
from .options import seed_of_each


@dataclass(frozen=True)
class DenoisingStep:
    """What one step of parallel decoding did.

    Attributes:
        index: 1 .. steps.
        codes: `(batch, image_tokens)` after the step, `mask_code` where unknown.
        revealed: `(batch, image_tokens)` bool, tokens that this step revealed.
        logits: `(batch, image_tokens, codebook)` float32, guided, of this step's forward.
    """

    index: int
    codes: Tensor
    revealed: Tensor
    logits: Tensor


@torch.no_grad()
def denoise_images(
    model: ImageModel,
    prompts: Sequence[Sequence[int]],
    sampling: ImageSampling,
    seeds: Sequence[int] | None = None,
    known: Tensor | None = None,
    done: int = 0,
    negative_prompts: Sequence[Sequence[int]] | None = None,
) -> Iterator[DenoisingStep]:
    """Decode a batch of images, yielding every step.

    With guidance the unconditional halves ride in the same batch, with the same codes. Every random
    number of a sample comes from its own seed, so neither the batch nor the order changes an image.

    Args:
        model: Network in eval mode.
        prompts: Ids of each sample, as `encode_prompt` gives them.
        sampling: Options.
        seeds: One a sample; 0, 1, 2, ... by default. Unused when both temperatures are 0.
        known: `(batch, image_tokens)` codes to start from, `mask_code` where unknown: known ones
            stay as they are. By default all are unknown.
        done: Steps that are left out at the beginning, since `known` is as far already. Its image
            is one that began with all tokens unknown.
        negative_prompts: Ids of each sample that guidance moves away from; by default the model's
            empty prompt. Unused without guidance.

    Yields:
        One `DenoisingStep` a step; the last one's codes are the images.

    Raises:
        UserError: If an option is out of range or there are no prompts.
        ValueError: If `known` is of another shape, or there are more or fewer negative prompts.

    Source: MaskGIT (arXiv 2202.04200), section 3.2; guidance as in Show-o (arXiv 2408.12528).
    """
    sampling.check(model.config)
    seeds = seed_of_each(seeds, len(prompts))
    prefix = begin_guided(model, prompts, sampling, seeds, negative_prompts)
    yield from denoise_behind(model, prefix, sampling, seeds, known, done)


def begin_guided(
    model: ImageModel,
    prompts: Sequence[Sequence[int]],
    sampling: ImageSampling,
    seeds: Sequence[int],
    negative_prompts: Sequence[Sequence[int]] | None = None,
) -> ImagePrefix:
    """Begin to decode images: a row a prompt and, with guidance, as many unconditional ones behind.

    Args:
        model: Network in eval mode.
        prompts: Ids of each sample.
        sampling: Options, which fit the model.
        seeds: One a sample.
        negative_prompts: See `denoise_images`.

    Raises:
        UserError: If there are no prompts.
        ValueError: If there are more or fewer negative prompts.
    """
    if not prompts:
        raise UserError("there are no prompts; give at least one")
    away = negative_prompts
    if away is None:
        away = [model.null_prompt_of(prompt) for prompt in prompts]
    if len(away) != len(prompts):
        raise ValueError(f"there are {len(away)} negative prompts; expected {len(prompts)}")
    rows = [*prompts, *away] if sampling.guided else prompts
    return model.begin_images(rows, **with_noise(noise_of_rows(model, sampling, seeds)))


@torch.no_grad()
def denoise_behind(
    model: ImageModel,
    prefix: ImagePrefix,
    sampling: ImageSampling,
    seeds: Sequence[int],
    known: Tensor | None = None,
    done: int = 0,
    drawn: Tensor | None = None,
) -> Iterator[DenoisingStep]:
    """Decode a batch of images behind what has been begun; see `denoise_images`.

    Args:
        model: Network in eval mode.
        prefix: The rows of the images; with guidance, as many unconditional ones behind them.
        sampling: Options, which fit the model.
        seeds: One an image.
        known: See `denoise_images`.
        done: See `denoise_images`.
        drawn: `(image_tokens,)` bool, the tokens that are generated now; others stay masked. All by
            default.

    Yields:
        See `denoise_images`.

    Raises:
        ValueError: If `known` is of another shape.
    """
    batch, image_tokens = len(seeds), model.config.image_tokens
    noise = SamplerNoise(seeds, image_tokens, model.device)
    shared = None
    if sampling.shared_noise_seed is not None:
        shared = SamplerNoise([sampling.shared_noise_seed], image_tokens, model.device).gumbel(1.0)
    order = _fixed_order(sampling, model.config, seeds)
    order = None if order is None else order.to(model.device)
    codes = starting_codes(model, batch, known)
    if drawn is None:
        drawn = torch.ones(image_tokens, dtype=torch.bool, device=model.device)
    given = codes != model.mask_code
    start = codes
    if sampling.random_start:
        start = mixed_start(
            codes, seeds, sampling.random_start, model.mask_code, model.config.codebook_size
        )
    left = (~given & drawn).sum(dim=1).tolist()
    of_unknown = sampling.schedule_base == "unknown" and not done
    bases = left if of_unknown else [int(drawn.sum())] * batch
    for step in range(done + 1, sampling.sampling_steps + 1):
        shown = torch.where((codes == model.mask_code) & drawn, start, codes)
        logits = prefix.logits(torch.cat([shown, shown]) if sampling.guided else shown).float()
        if sampling.guided:
            guidance = sampling.guidance_at(step)
            conditional, unconditional = logits.chunk(2)
            logits = (1 + guidance) * conditional - guidance * unconditional
        candidates, confidence = draw_tokens(logits, sampling, noise)
        if sampling.revise_below:
            codes = forget_unlikely(codes, given, logits, sampling.revise_below, model.mask_code)
        unknown = (codes == model.mask_code) & drawn
        if order is not None:
            confidence = -order.to(confidence)
        else:
            scale = sampling.confidence_temperature_at(step)
            confidence = confidence + (noise.gumbel(scale) if shared is None else scale * shared)
        left = [
            tokens_left_masked(step, sampling.sampling_steps, base, count, sampling.mask_schedule)
            for base, count in zip(bases, left, strict=True)
        ]
        revealed = reveal_surest(confidence, unknown, torch.tensor(left, device=codes.device))
        codes = torch.where(revealed, candidates, codes)
        yield DenoisingStep(step, codes, revealed, logits)


def _fixed_order(
    sampling: ImageSampling, config: ModelConfig, seeds: Sequence[int]
) -> Tensor | None:
    """At what place each token is revealed, `(batch, image_tokens)`; None if that is not fixed."""
    if sampling.reveal_order == "confidence":
        return None
    side = square_side(config, sampling.reveal_order)
    if sampling.reveal_order == "halton":
        places = halton_order(side, side).argsort().expand(len(seeds), -1)
    else:
        places = torch.stack([oriented_halton_order(side, seed).argsort() for seed in seeds])
    frames = range(max(1, video_frames(config)))
    return torch.cat([places + frame * side**2 for frame in frames], dim=1)


def starting_codes(model: ImageModel, batch: int, known: Tensor | None) -> Tensor:
    """Codes `(batch, image_tokens)` to start from; all masked unless some are known.

    Raises:
        ValueError: If `known` is of another shape.
    """
    codes = torch.full((batch, model.config.image_tokens), model.mask_code, device=model.device)
    if known is None:
        return codes
    if known.shape != codes.shape:
        raise ValueError(f"known is {tuple(known.shape)}; expected {tuple(codes.shape)}")
    return known.to(codes)


def decode_image_codes(
    model: ImageModel,
    prompts: Sequence[Sequence[int]],
    sampling: ImageSampling,
    seeds: Sequence[int] | None = None,
    known: Tensor | None = None,
    negative_prompts: Sequence[Sequence[int]] | None = None,
) -> Tensor:
    """Image codes `(batch, image_tokens)` of a batch of prompts; see `denoise_images`."""
    codes = None
    steps = denoise_images(
        model, prompts, sampling, seeds, known, negative_prompts=negative_prompts
    )
    for step in steps:
        codes = step.codes
    assert codes is not None  # at least one step runs
    return codes


def noise_of_rows(
    model: ImageModel, sampling: ImageSampling, seeds: Sequence[int]
) -> Tensor | None:
    """The noise that a network reads of each row, the unconditional ones included."""
    return noise_of(model, [*seeds, *seeds] if sampling.guided else seeds)


def gives_one_image(model: ImageModel, sampling: ImageSampling) -> bool:
    """Whether a model's images of a prompt are the same whatever their seeds."""
    return sampling.one_image_a_prompt and not model.noise_size


def draw_tokens(
    logits: Tensor, sampling: ImageSampling, noise: SamplerNoise
) -> tuple[Tensor, Tensor]:
    """A candidate for every position and the log-probability of each.

    Args:
        logits: `(batch, image_tokens, codebook)` float32.
        sampling: Temperature and top-k.
        noise: Random numbers of the samples.

    Returns:
        Codes, and their log-probabilities among all codes, also where only some are sampled from;
        each `(batch, image_tokens)`.
    """
    log_probs = logits.log_softmax(dim=-1)
    if sampling.k is not None:
        kept = logits.topk(sampling.k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < kept, -torch.inf)
    if sampling.token_temperature == 0:
        codes = logits.argmax(dim=-1)
    else:
        cumulative = (logits / sampling.token_temperature).softmax(dim=-1).cumsum(dim=-1)
        threshold = noise.uniform()[..., None] * cumulative[..., -1:]
        codes = (cumulative <= threshold).sum(dim=-1).clamp(max=logits.shape[-1] - 1)
    return codes, log_probs.gather(-1, codes[..., None])[..., 0]


def forget_unlikely(
    codes: Tensor, given: Tensor, logits: Tensor, below: float, mask_code: int
) -> Tensor:
    """Mask again the tokens that a model finds unlikely where they stand.

    Args:
        codes: `(batch, image_tokens)`, `mask_code` where unknown.
        given: `(batch, image_tokens)` boolean, tokens that stay in any case.
        logits: `(batch, image_tokens, codebook)` from these codes.
        below: Tokens of a smaller probability are masked.
        mask_code: The code that stands for a masked token.
    """
    places = codes.clamp(max=logits.shape[-1] - 1)[..., None]
    probability = logits.softmax(dim=-1).gather(-1, places)[..., 0]
    return codes.masked_fill(~given & (probability < below), mask_code)


def reveal_surest(confidence: Tensor, unknown: Tensor, left: Tensor) -> Tensor:
    """Which unknown tokens to reveal so that exactly `left` stay masked, or none if fewer are.

    Args:
        confidence: `(batch, image_tokens)`.
        unknown: `(batch, image_tokens)` bool.
        left: `(batch,)`, tokens of each image that stay masked.

    Returns:
        `(batch, image_tokens)` bool. Of equally sure tokens the earlier one is revealed.
    """
    surest_first = confidence.masked_fill(~unknown, -torch.inf).argsort(
        dim=1, descending=True, stable=True
    )
    rank = surest_first.argsort(dim=1)
    return unknown & (rank < (unknown.sum(dim=1) - left)[:, None])
