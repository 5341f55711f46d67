"""Jacobi decoding: guess a block of tokens, correct all of them in parallel, repeat."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import torch
from torch import Tensor

from ..errors import UserError
from ..models.protocols import ImageModel, TextPrefix
from .autoregressive import TextResult
from .options import check_choice, check_whole, seed_of_each
from .text_state import TextState

Driver = Literal["block", "window"]
BlockStart = Literal["vocabulary", "prompt"]


@dataclass(frozen=True)
class JacobiResult(TextResult):
    """One sample's text and how it came about.

    Attributes:
        blocks: For each block the iterates `(iterations + 1, block_size)`: the random start
            first, the fixed point last. Only the `block` driver records them.
    """

    blocks: list[Tensor]


def check_blocks(
    block_size: int, driver: str, block_start: str, forward_tokens: int | None = None
) -> None:
    """Raise if blocks are empty, or how they start or follow each other is unknown.

    Raises:
        UserError: Naming the value and the known ones.
    """
    check_whole(block_size=block_size, forward_tokens=forward_tokens)
    for name, value in (("block_size", block_size), ("forward_tokens", forward_tokens)):
        if value is not None and value < 1:
            raise UserError(f"{name} is {value}; it must be at least 1")
    check_choice(Driver, driver=driver)
    check_choice(BlockStart, block_start=block_start)


@torch.no_grad()
def jacobi_decode(
    model: ImageModel,
    images: Tensor | None,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    block_size: int = 16,
    driver: Driver = "block",
    block_start: BlockStart = "vocabulary",
    seeds: Sequence[int] | None = None,
    starts: Sequence[Sequence[int]] | None = None,
    restrict_to_text: bool = True,
    prefix: TextPrefix | None = None,
    forward_tokens: int | None = None,
    at_once: int | None = None,
    done: Callable[[int], None] | None = None,
) -> list[JacobiResult]:
    """Write the greedy answers, several tokens per forward pass.

    A forward gives a prediction for every guessed token. Predictions are exact up to and
    including the first that differs from its guess; those settle and enter the cache, and the
    rest become the next guesses. The result is token by token that of greedy autoregression.

    Args:
        model: Network in eval mode.
        images: The image of each sample, as the model's `image_input` says, or none for plain
            text.
        prompts: Text ids of each sample, as `encode_question` gives them.
        max_new_tokens: Longest answer in tokens.
        block_size: Tokens guessed at once.
        driver: `block` settles a whole block before it guesses the next (the published way);
            `window` always guesses `block_size` tokens ahead, or up to where the answer seems to
            end.
        block_start: Where the random tokens that are guessed at first are drawn from: all text
            tokens of the `vocabulary`, or those of the sample's `prompt` (the published way). A
            prompt without text tokens leaves the vocabulary.
        seeds: One a sample, for the random start tokens; 0, 1, 2, ... by default.
        starts: Start tokens of each sample's first block, instead of random ones.
        restrict_to_text: Whether only text tokens may be predicted.
        prefix: What the answers continue, in place of the images and prompts, with room for the
            longest answer and what is guessed beyond it.
        forward_tokens: Tokens that a forward pass may compute for all answers in progress, beyond
            one of each. Of the `window` driver, which shares them out: the fewer answers are in
            progress, the farther it guesses ahead in each, up to `block_size`. By default as far
            as that, however many there are. It changes the work, but no answer.
        at_once: Answers in progress at most; all by default. As some are done, others take their
            places, which changes no more than the rounding of floating-point numbers.
        done: Told how many answers have just come to their end.

    Raises:
        UserError: If an option is out of range, or the model does not write text.

    Source: CLLM (arXiv 2403.00835), section 3.1; blocks as in Show-o Turbo (arXiv 2502.05415).
    """
    check_blocks(block_size, driver, block_start, forward_tokens)
    if starts is not None and len(starts) != len(prompts):
        raise UserError(
            f"there are {len(starts)} starts for {len(prompts)} prompts; give one for each"
        )
    for start in starts or ():
        if len(start) != block_size:
            raise UserError(
                f"there are {len(start)} start tokens; expected block_size={block_size}"
            )
    state = TextState(
        model, images, prompts, max_new_tokens, block_size, restrict_to_text, prefix, at_once, done
    )
    vocabulary = range(model.config.text_vocabulary_size)
    samples = [
        _Guesses(
            vocabulary if block_start == "vocabulary" else _text_of(prompts[i], vocabulary),
            state.eot_id,
            driver,
            block_size,
            seed,
            starts[i] if starts else None,
        )
        for i, seed in enumerate(seed_of_each(seeds, len(prompts)))
    ]
    while state.active:
        active = [samples[s] for s in state.active]
        width = block_size
        if forward_tokens is not None:
            width = max(1, min(block_size, forward_tokens // len(active)))
        asked = [sample.asked(width) for sample in active]
        predictions = iter(state.predict([tokens[:-1] for tokens in asked]).argmax(-1).tolist())
        state.accept(
            [
                sample.correct(tokens, list(islice(predictions, len(tokens))))
                for sample, tokens in zip(active, asked, strict=True)
            ]
        )
    return [
        JacobiResult(
            state.answers[i], state.forwards[i], state.finished[i], sample.recorded_blocks()
        )
        for i, sample in enumerate(samples)
    ]


def _text_of(prompt: Sequence[int], vocabulary: range) -> Sequence[int]:
    """The text tokens of a prompt, each as often as it is in it; all that exist if it has none."""
    return [token for token in prompt if token in vocabulary] or vocabulary


class _Guesses:
    """One sample's unsettled tokens.

    Args:
        candidates: Text tokens that start tokens are drawn from.
        eot_id: Ends a text.
        driver: How decoding moves on.
        block_size: Tokens guessed at once.
        seed: Of the start tokens.
        start: The first block's start, instead of a random one.
    """

    def __init__(
        self,
        candidates: Sequence[int],
        eot_id: int,
        driver: Driver,
        block_size: int,
        seed: int,
        start: Sequence[int] | None,
    ) -> None:
        self.candidates = candidates
        self.eot_id = eot_id
        self.driver = driver
        self.block_size = block_size
        self.generator = torch.Generator().manual_seed(seed)
        self.tokens = list(start) if start is not None else self._random(block_size)
        self.predicted = 0
        self.settled: list[int] = []
        self.iterates: list[list[list[int]]] = [[self.tokens]]

    def _random(self, count: int) -> list[int]:
        drawn = torch.randint(len(self.candidates), (count,), generator=self.generator)
        return [self.candidates[index] for index in drawn.tolist()]

    def asked(self, width: int) -> list[int]:
        """The guesses that the next forward corrects.

        A block is corrected as a whole, because its iterates are recorded. In a window, no more
        than `width`, and nothing beyond an `eot` that was predicted: most likely the answer ends
        there.
        """
        if self.driver == "block":
            return self.tokens
        eot = self.eot_id
        if eot in self.tokens[: self.predicted]:
            width = min(width, self.tokens.index(eot) + 1)
        return self.tokens[:width]

    def correct(self, asked: list[int], predictions: list[int]) -> list[int]:
        """Take a forward's predictions of the guesses asked; give the tokens that settle."""
        matches = 0
        while matches < len(asked) - 1 and predictions[matches] == asked[matches]:
            matches += 1
        exact, corrected = predictions[: matches + 1], predictions[matches + 1 :]
        if self.driver == "window":
            self.predicted = len(corrected)
            self.tokens = corrected + self.tokens[len(asked) :] + self._random(len(exact))
            return exact
        self.tokens = corrected
        self.settled += exact
        self.iterates[-1].append(self.settled + self.tokens)
        if not self.tokens:
            self.settled = []
            self.tokens = self._random(self.block_size)
            self.iterates.append([self.tokens])
        return exact

    def recorded_blocks(self) -> list[Tensor]:
        """Iterates of every block that was corrected at least once."""
        return [torch.tensor(rows) for rows in self.iterates if len(rows) > 1]
