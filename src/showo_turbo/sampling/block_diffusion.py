"""Block diffusion: an answer is denoised block after block, the surest tokens of a block first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..errors import UserError
from ..models.masked_text import MaskedTextModel
from ..models.protocols import ImageModel
from ..models.registry import masked_text_model
from .autoregressive import TextResult
from .noise import TextNoise
from .options import (
    check_choice,
    check_not_negative,
    check_temperature,
    check_whole,
    seed_of_each,
)
from .parallel import reveal_surest

TextRevealOrder = Literal["confidence", "random"]


@dataclass(frozen=True)
class TextDenoising:
    """How answers are denoised.

    Args:
        max_new_tokens: Tokens of an answer, what follows its end included.
        block_size: Tokens of a block, a divisor of them.
        sampling_steps: Steps of all blocks together, each of which has as many; one a token by
            default.
        reveal_order: With `confidence` the tokens that are predicted with the highest probability
            are revealed first; with `random` any.
        guidance_scale: w of classifier-free guidance, `(1 + w) cond - w uncond`, where without
            condition the whole prompt is masked; 0 turns it off and halves the work.
        temperature: 0 takes the likeliest tokens; above, tokens are drawn.
        restrict_to_text: Whether only text tokens may be predicted, and the mask may not. In the
            published sampler everything may; a predicted mask then leaves its token masked, for a
            later step or for good.
        stop_at_end: Whether a sample is done as soon as its end of text, and all before it, is
            known, which changes nothing up to there. The published sampler goes on.
        complete_blocks: Whether a sample that is done in this sense goes on to the end of its
            block, as it must where its trajectory is recorded.
    """

    max_new_tokens: int
    block_size: int
    sampling_steps: int | None = None
    reveal_order: TextRevealOrder = "confidence"
    guidance_scale: float = 0.0
    temperature: float = 0.0
    restrict_to_text: bool = True
    stop_at_end: bool = True
    complete_blocks: bool = False

    @property
    def steps(self) -> int:
        """Steps of all blocks together."""
        return self.max_new_tokens if self.sampling_steps is None else self.sampling_steps

    @property
    def steps_per_block(self) -> int:
        """Steps of each block."""
        return self.steps * self.block_size // self.max_new_tokens

    def check(self) -> None:
        """Raise on options that are out of range or do not go together.

        Raises:
            UserError: Naming the value and the remedy.
        """
        tokens, size = self.max_new_tokens, self.block_size
        check_whole(max_new_tokens=tokens, block_size=size, sampling_steps=self.sampling_steps)
        if tokens < 1:
            raise UserError(f"max_new_tokens is {tokens}; it must be at least 1")
        if size < 1 or tokens % size:
            raise UserError(
                f"block_size is {size}, which does not divide max_new_tokens={tokens}; choose a "
                "divisor"
            )
        blocks = tokens // size
        if self.steps % blocks or not 1 <= self.steps <= tokens:
            raise UserError(
                f"sampling_steps is {self.steps}, which {blocks} blocks of {size} tokens cannot "
                f"share evenly; choose a multiple of {blocks} up to {tokens}"
            )
        check_choice(TextRevealOrder, reveal_order=self.reveal_order)
        check_not_negative(guidance_scale=self.guidance_scale)
        check_temperature(temperature=self.temperature)


@dataclass(frozen=True)
class TextStep:
    """What one step of block diffusion did.

    Attributes:
        index: 1 .. steps, counted over all blocks.
        samples: Those that took part; the others have ended.
        answers: `(all samples, max_new_tokens)` after the step, masked where unknown.
        revealed: Likewise bool, tokens that this step revealed.
        logits: `(samples, tokens, candidates)` float32, guided, of this step's forward: of the
            block's tokens or, where the mask may be predicted, of all up to the block's end.
    """

    index: int
    samples: list[int]
    answers: Tensor
    revealed: Tensor
    logits: Tensor


@dataclass(frozen=True)
class BlockDiffusionResult(TextResult):
    """One sample's text and how it came about.

    Attributes:
        ids: `(max_new_tokens,)`, all tokens, those behind the end of text among them; masked where
            no step revealed one.
        reveal_step: `(max_new_tokens,)`, the step that revealed each, 1 .. steps; one more where
            none did.
    """

    ids: Tensor
    reveal_step: Tensor


def revealed_each_step(masked: int, steps: int) -> list[int]:
    """How many of a block's masked tokens each of its steps reveals: one more in the first ones."""
    each, rest = divmod(masked, steps)
    return [each + (step < rest) for step in range(steps)]


def gumbel_scores(logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    """Scores of which the largest is drawn from the softmax of `logits / temperature`; float64.

    Source: the Gumbel-max trick; the published sampler computes their exponentials.
    """
    return logits.double() - temperature * (-uniform.log()).log()


@torch.no_grad()
def denoise_texts(
    model: ImageModel,
    images: Tensor | None,
    prompts: Sequence[Sequence[int]],
    options: TextDenoising,
    seeds: Sequence[int] | None = None,
) -> Iterator[TextStep]:
    """Denoise a batch of answers, yielding every step.

    Blocks follow each other from left to right. Within one, every step predicts all of its tokens
    at once and reveals the surest; what is revealed stays. Every random number of a sample comes
    from its own seed, so neither the batch nor the order changes an answer.

    Args:
        model: Network in eval mode.
        images: The image of each sample, as the model's `image_input` says, or none for plain
            text.
        prompts: Text ids of each sample, as `encode_question` gives them.
        options: How.
        seeds: One a sample; 0, 1, 2, ... by default. Unused if nothing is drawn.

    Yields:
        One `TextStep` a step, until all samples are done.

    Raises:
        UserError: If an option is out of range, or the model does not denoise text.

    Source: LLaDA (arXiv 2502.09992), section 2.4 and algorithm 5; MMaDA (arXiv 2505.15809).
    """
    writer = masked_text_model(model, "block diffusion")
    options.check()
    if not prompts:
        raise UserError("there are no prompts; give at least one")
    if images is not None:
        writer.image_input.check(images, len(prompts))
        images = images.to(model.device)
    noise = TextNoise(seed_of_each(seeds, len(prompts)), model.device)
    mask, size = writer.text_mask_id, options.block_size
    counts = revealed_each_step(size, options.steps_per_block)
    answers = torch.full((len(prompts), options.max_new_tokens), mask, device=model.device)
    samples, index = list(range(len(prompts))), 0
    for begin in range(0, options.max_new_tokens, size):
        columns = slice(begin if options.restrict_to_text else 0, begin + size)
        for left, count in zip(reversed(range(len(counts))), counts, strict=True):
            index += 1
            state = answers[samples]
            shown = None if images is None else images[samples]
            asked = [prompts[sample] for sample in samples]
            logits = _predict(writer, shown, asked, state, columns, options)
            candidates, confidence = _draw(logits, options, noise, samples)
            state = state[:, columns]
            unknown = state == mask
            picked = reveal_surest(confidence, unknown, unknown.sum(dim=1) - count)
            picked = picked & (candidates != mask)
            revealed = torch.zeros_like(answers, dtype=torch.bool)
            revealed[samples, columns] = picked
            answers = answers.clone()
            answers[samples, columns] = torch.where(picked, candidates, state)
            yield TextStep(index, samples, answers, revealed, logits)
            if options.stop_at_end and not (options.complete_blocks and left):
                ended = _ends(answers, writer).any(dim=1).tolist()
                samples = [sample for sample in samples if not ended[sample]]
            if not samples:
                return


def block_diffusion_decode(
    model: ImageModel,
    images: Tensor | None,
    prompts: Sequence[Sequence[int]],
    options: TextDenoising,
    seeds: Sequence[int] | None = None,
) -> list[BlockDiffusionResult]:
    """Write answers by block diffusion; see `denoise_texts`.

    An answer ends with its first end of text, whatever was revealed behind it. With guidance every
    step is two forwards.
    """
    writer = masked_text_model(model, "block diffusion")
    passes = 2 if options.guidance_scale else 1
    forwards = [0] * len(prompts)
    ids = torch.empty(0)
    reveal_step = torch.full((len(prompts), options.max_new_tokens), options.steps + 1)
    for step in denoise_texts(model, images, prompts, options, seeds):
        ids = step.answers
        reveal_step[step.revealed.cpu()] = step.index
        for sample in step.samples:
            forwards[sample] += passes
    ends = _ends(ids, writer).cpu()
    ids = ids.cpu()
    results = []
    for row, end in enumerate(ends):
        finished = bool(end.any())
        length = int(end.int().argmax()) + 1 if finished else options.max_new_tokens
        tokens = ids[row, :length].tolist()
        results.append(
            BlockDiffusionResult(tokens, forwards[row], finished, ids[row], reveal_step[row])
        )
    return results


def _predict(
    writer: MaskedTextModel,
    images: Tensor | None,
    prompts: list[Sequence[int]],
    state: Tensor,
    columns: slice,
    options: TextDenoising,
) -> Tensor:
    """Guided logits `(samples, columns, candidates)` float32; with guidance both halves at once."""
    restrict, w = options.restrict_to_text, options.guidance_scale
    if w:
        rows = torch.arange(2 * len(state), device=state.device)
        both = writer.text_logits(
            None if images is None else torch.cat([images, images]),
            prompts * 2,
            torch.cat([state, state]),
            columns,
            unconditional=rows >= len(state),
            restrict_to_text=restrict,
        ).float()
        conditional, unconditional = both.chunk(2)
        logits = (1 + w) * conditional - w * unconditional
    else:
        logits = writer.text_logits(
            images, prompts, state, columns, restrict_to_text=restrict
        ).float()
    if restrict:
        logits[..., writer.text_mask_id] = -torch.inf
    return logits


def _draw(
    logits: Tensor, options: TextDenoising, noise: TextNoise, samples: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """A candidate for every token, and what says which are revealed first."""
    if options.temperature == 0:
        candidates = logits.argmax(dim=-1)
    else:
        uniform = noise.uniform(samples, *logits.shape[1:])
        candidates = gumbel_scores(logits, uniform, options.temperature).argmax(dim=-1)
    if options.reveal_order == "random":
        return candidates, noise.uniform(samples, logits.shape[1])
    chosen = logits.gather(-1, candidates[..., None])[..., 0]
    return candidates, chosen - logits.logsumexp(dim=-1)


def _ends(answers: Tensor, writer: MaskedTextModel) -> Tensor:
    """`(samples, tokens)` bool, tokens that end a text and have no masked one before them."""
    known = (answers != writer.text_mask_id).cumprod(dim=1).bool()
    return known & torch.isin(answers, torch.tensor(writer.end_ids, device=answers.device))
