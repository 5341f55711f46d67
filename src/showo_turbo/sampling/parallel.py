"""Guided parallel decoding of images: all tokens masked at first, the surest revealed first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UserError
from ..models.showo import Showo
from .mask_schedules import MaskSchedule, check_mask_schedule, tokens_left_masked
from .options import (
    check_not_negative,
    check_seed,
    check_temperature,
    check_top_k,
    check_whole,
    seed_of_each,
)


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


@dataclass(frozen=True)
class ImageSampling:
    """How images are sampled.

    Args:
        steps: Denoising steps, 1 .. image tokens.
        guidance_scale: w of classifier-free guidance, `(1 + w) cond - w uncond`; 0 turns it off
            and halves the work.
        mask_schedule: `cosine`, `linear`, `pow` or `sigmoid`.
        token_temperature: Temperature of the drawn tokens; 0 takes the likeliest.
        confidence_temperature: Scale of the Gumbel noise on the reveal order, annealed to 0 over
            the steps; 0 reveals the surest tokens.
        top_k: Draw only among the k likeliest codes.
        guidance_end: w of the last step, reached from `guidance_scale` in even steps; by default w
            stays the same.
        shared_noise_seed: Draws the noise on the reveal order once, for all images and all steps;
            by default every image draws its own at every step. Fewer steps then reveal in the order
            of more steps, which is what a student learns from trajectories of one order.
    """

    steps: int = 16
    guidance_scale: float = 0.0
    mask_schedule: MaskSchedule = "cosine"
    token_temperature: float = 0.0
    confidence_temperature: float = 0.0
    top_k: int | None = None
    guidance_end: float | None = None
    shared_noise_seed: int | None = None

    @property
    def guided(self) -> bool:
        """Whether any step needs the unconditional half."""
        return self.guidance_scale > 0 or bool(self.guidance_end)

    def guidance_at(self, step: int) -> float:
        """Guidance scale of a step, 1 .. steps."""
        if self.guidance_end is None or self.steps == 1:
            return self.guidance_scale
        progress = (step - 1) / (self.steps - 1)
        return self.guidance_scale + progress * (self.guidance_end - self.guidance_scale)

    def check(self, image_tokens: int, codebook_size: int) -> None:
        """Refuse what the model cannot do.

        Raises:
            UserError: Naming the value and its range.
        """
        check_whole(steps=self.steps)
        if not 1 <= self.steps <= image_tokens:
            raise UserError(f"steps is {self.steps}; choose 1 to {image_tokens} (the image tokens)")
        check_mask_schedule(self.mask_schedule)
        check_not_negative(
            guidance_scale=self.guidance_scale,
            guidance_end=self.guidance_end or 0.0,
            confidence_temperature=self.confidence_temperature,
        )
        check_temperature(token_temperature=self.token_temperature)
        if self.shared_noise_seed is not None:
            check_seed(self.shared_noise_seed, "shared_noise_seed")
        check_top_k(self.top_k, codebook_size, "codebook")


@torch.no_grad()
def denoise_images(
    model: Showo,
    prompts: Sequence[Sequence[int]],
    sampling: ImageSampling,
    seeds: Sequence[int] | None = None,
) -> Iterator[DenoisingStep]:
    """Decode a batch of images, yielding every step.

    The prompt's keys and values are computed once, because text never looks at the image; each
    step computes `soi image eoi` only. With guidance the unconditional halves ride in the same
    batch. Every random number of a sample comes from its own seed, so neither the batch nor the
    order changes an image.

    Args:
        model: Network in eval mode.
        prompts: Text ids of each sample, without special tokens.
        sampling: Options.
        seeds: One a sample; 0, 1, 2, ... by default. Unused when both temperatures are 0.

    Yields:
        One `DenoisingStep` a step; the last one's codes are the images.

    Raises:
        UserError: If an option is out of range or there are no prompts.

    Source: MaskGIT (arXiv 2202.04200), section 3.2; guidance as in Show-o (arXiv 2408.12528).
    """
    image_tokens, vocabulary = model.config.image_tokens, model.vocabulary
    sampling.check(image_tokens, vocabulary.codebook_size)
    if not prompts:
        raise UserError("there are no prompts; give at least one")
    batch = len(prompts)
    seeds = seed_of_each(seeds, batch)
    rows = [[vocabulary.t2i_id, vocabulary.sot_id, *p, vocabulary.eot_id] for p in prompts]
    if sampling.guided:
        rows += [[vocabulary.t2i_id, vocabulary.sot_id, vocabulary.eot_id]] * batch
    longest = max(map(len, rows))
    prefix = torch.full((len(rows), longest), vocabulary.pad_id)
    for row, tokens in enumerate(rows):
        prefix[row, : len(tokens)] = torch.tensor(tokens)
    cache = model.new_cache(len(rows), longest + image_tokens + 2)
    model.append(prefix.to(model.device), cache)
    cache.lengths = torch.tensor([len(tokens) for tokens in rows], device=model.device)

    noise = _Noise(seeds, image_tokens, model.device)
    order = None
    if sampling.shared_noise_seed is not None:
        order = _Noise([sampling.shared_noise_seed], image_tokens, model.device).gumbel(1.0)
    codes = torch.full((batch, image_tokens), vocabulary.mask_code, device=model.device)
    edge = torch.ones(len(rows), 1, dtype=torch.long, device=model.device)
    left = image_tokens
    for step in range(1, sampling.steps + 1):
        image = torch.cat([codes, codes]) if sampling.guided else codes
        tokens_in = torch.cat(
            [edge * vocabulary.soi_id, image + vocabulary.image_offset, edge * vocabulary.eoi_id],
            dim=1,
        )
        hidden = model.append(tokens_in, cache, bidirectional=True)[:, 1:-1]
        logits = model.logits(hidden, vocabulary.image_rows).float()
        if sampling.guided:
            guidance = sampling.guidance_at(step)
            conditional, unconditional = logits.chunk(2)
            logits = (1 + guidance) * conditional - guidance * unconditional
        candidates, confidence = draw_tokens(logits, sampling, noise)
        unknown = codes == vocabulary.mask_code
        progress = step / sampling.steps
        scale = sampling.confidence_temperature * (1 - progress)
        confidence = confidence + (noise.gumbel(scale) if order is None else scale * order)
        left = tokens_left_masked(step, sampling.steps, image_tokens, left, sampling.mask_schedule)
        revealed = reveal_surest(confidence, unknown, left)
        codes = torch.where(revealed, candidates, codes)
        yield DenoisingStep(step, codes, revealed, logits)


def decode_image_codes(
    model: Showo,
    prompts: Sequence[Sequence[int]],
    sampling: ImageSampling,
    seeds: Sequence[int] | None = None,
) -> Tensor:
    """Image codes `(batch, image_tokens)` of a batch of prompts; see `denoise_images`."""
    codes = None
    for step in denoise_images(model, prompts, sampling, seeds):
        codes = step.codes
    assert codes is not None  # at least one step runs
    return codes


def draw_tokens(logits: Tensor, sampling: ImageSampling, noise: "_Noise") -> tuple[Tensor, Tensor]:
    """A candidate for every position and the log-probability of each.

    Args:
        logits: `(batch, image_tokens, codebook)` float32.
        sampling: Temperature and top-k.
        noise: Random numbers of the samples.

    Returns:
        Codes and confidences, each `(batch, image_tokens)`.
    """
    if sampling.top_k is not None:
        kept = logits.topk(sampling.top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < kept, -torch.inf)
    log_probs = logits.log_softmax(dim=-1)
    if sampling.token_temperature == 0:
        codes = logits.argmax(dim=-1)
    else:
        cumulative = (logits / sampling.token_temperature).softmax(dim=-1).cumsum(dim=-1)
        threshold = noise.uniform()[..., None] * cumulative[..., -1:]
        codes = (cumulative <= threshold).sum(dim=-1).clamp(max=logits.shape[-1] - 1)
    return codes, log_probs.gather(-1, codes[..., None])[..., 0]


def reveal_surest(confidence: Tensor, unknown: Tensor, left: int) -> Tensor:
    """Which unknown tokens to reveal so that exactly `left` stay masked.

    Args:
        confidence: `(batch, image_tokens)`.
        unknown: `(batch, image_tokens)` bool.
        left: Tokens of each image that stay masked.

    Returns:
        `(batch, image_tokens)` bool. Of equally sure tokens the earlier one is revealed.
    """
    surest_first = confidence.masked_fill(~unknown, -torch.inf).argsort(
        dim=1, descending=True, stable=True
    )
    rank = surest_first.argsort(dim=1)
    return unknown & (rank < (unknown.sum(dim=1) - left)[:, None])


class _Noise:
    """Random numbers for each sample from its own generator, the same on every device."""

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
