"""Cached autoregressive text: one token per forward pass, the baseline of every speed-up."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.protocols import ImageModel, TextPrefix
from ..models.registry import text_model
from .options import check_temperature, check_top_k, check_top_p, seed_of_each
from .text_state import TextState


@dataclass(frozen=True)
class TextResult:
    """One sample's text.

    Attributes:
        tokens: Text ids up to and including `eot`, or `max_new_tokens` of them.
        forwards: Forwards that took part in it, the prefill not counted.
        finished: Whether it reached `eot`.
    """

    tokens: list[int]
    forwards: int
    finished: bool


@torch.no_grad()
def autoregressive_decode(
    model: ImageModel,
    images: Tensor | None,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seeds: Sequence[int] | None = None,
    restrict_to_text: bool = True,
    prefix: TextPrefix | None = None,
) -> list[TextResult]:
    """Write answers token by token over a key-value cache.

    Args:
        model: Network in eval mode.
        images: The image of each sample, as the model's `image_input` says, or none for plain
            text.
        prompts: Text ids of each sample, as `encode_question` gives them.
        max_new_tokens: Longest answer in tokens.
        temperature: 0 takes the likeliest token.
        top_k: Sample only from the k likeliest tokens.
        top_p: Sample only from the likeliest tokens that together reach this probability.
        seeds: One a sample; 0, 1, 2, ... by default. Unused at temperature 0.
        restrict_to_text: Whether only text tokens may be predicted.
        prefix: What the answers continue, in place of the images and prompts, with room for the
            longest answer and what is guessed beyond it.

    Raises:
        UserError: If an option is out of range, or the model does not write text.
    """
    check_temperature(temperature=temperature)
    check_top_k(top_k, text_model(model, "decoding text").config.text_vocabulary_size, "vocabulary")
    check_top_p(top_p)
    state = TextState(model, images, prompts, max_new_tokens, 1, restrict_to_text, prefix)
    generators = [torch.Generator().manual_seed(seed) for seed in seed_of_each(seeds, len(prompts))]
    while state.active:
        logits = state.predict([[]] * len(state.active))
        if temperature == 0:
            tokens = logits.argmax(dim=-1)
        else:
            uniform = torch.stack([torch.rand((), generator=generators[s]) for s in state.active])
            tokens = _draw(logits / temperature, top_k, top_p, uniform.to(logits.device))
        state.accept([[token] for token in tokens.tolist()])
    return [
        TextResult(answer, forwards, finished)
        for answer, forwards, finished in zip(
            state.answers, state.forwards, state.finished, strict=True
        )
    ]


def _draw(logits: Tensor, top_k: int | None, top_p: float | None, uniform: Tensor) -> Tensor:
    """Draw a token of each row `(batch, rows)` by inverting the cumulative distribution."""
    probs, order = logits.softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
    if top_k is not None:
        probs[:, top_k:] = 0
    if top_p is not None:
        before = probs.cumsum(dim=-1) - probs
        probs = probs.masked_fill(before >= top_p, 0)
    cumulative = probs.cumsum(dim=-1)
    place = (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(dim=-1)
    last = (probs > 0).sum(dim=-1) - 1
    return order.gather(1, torch.minimum(place, last)[:, None])[:, 0]
