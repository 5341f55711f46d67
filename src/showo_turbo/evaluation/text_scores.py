"""What is known of a model's answers once they are there: exactness, speed, agreement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..sampling.jacobi import Driver
from .intervals import Difference, Interval, paired_difference, rounded, wilson_interval

Decoding = Literal["ar", "jacobi", "block_diffusion"]


@dataclass(frozen=True)
class TextScore:
    """A model's answers to a set of questions, and what they cost.

    Two counts of Jacobi iterations are kept for every block that the answer fills:

    - `block_iterations`, as the published loop counts: it computes the whole block until an
      iterate repeats itself, so one iteration more than it takes to reach the fixed point. A model
      that gains nothing from it needs up to 17 for 16 tokens.
    - `block_forwards`, what this decoder spends. It accepts settled tokens on the way and ends
      when the last one is known, which saves the repeating iteration where no guess was right.

    Attributes:
        model: Name of the model.
        decoding: `ar`, one token per forward pass, `jacobi` or `block_diffusion`.
        driver: How Jacobi decoding moves on, see `jacobi_decode`; None otherwise.
        block_size: Tokens guessed at once.
        answers: The model's answers.
        matched: Whether each equals its reference, white space at the ends aside; empty where a
            metric judges instead.
        long: Whether each reference fills at least one block.
        tokens: Tokens of all answers, the end of text included.
        forwards: Forwards that took part in them, summed over answers; prefills not counted.
        unfinished: Answers that were cut off at the longest length.
        block_iterations: See above; only with the `block` driver.
        block_forwards: See above.
        batch_size: Questions answered at once.
        batched_seconds: Wall clock of all answers in batches.
        timed: How many questions were answered again, one by one, to measure the time.
        timed_tokens: Tokens of those.
        timed_seconds: Wall clock of those, prefill included.
        cider_long: CIDEr-D of the answers whose reference fills at least one block (captions); None
            if there are none.
        benchmark: The benchmark that the questions are from, if they are from one.
        metrics: Its figures by name.
        sampling_steps: Of block diffusion, denoising steps of all blocks together; None otherwise.
    """

    model: str
    decoding: Decoding
    driver: Driver | None
    block_size: int
    answers: tuple[str, ...]
    matched: tuple[bool, ...]
    long: tuple[bool, ...]
    tokens: int
    forwards: int
    unfinished: int
    block_iterations: tuple[int, ...]
    block_forwards: tuple[int, ...]
    batch_size: int
    batched_seconds: float
    timed: int
    timed_tokens: int
    timed_seconds: float
    cider_long: float | None = None
    benchmark: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    sampling_steps: int | None = None

    @property
    def n(self) -> int:
        """Number of questions."""
        return len(self.answers)

    @property
    def tokens_per_forward(self) -> float:
        """Tokens that a forward pass settles on average."""
        return self.tokens / self.forwards

    @property
    def iterations_per_block(self) -> float | None:
        """Mean of `block_iterations`: iterations to settle a full block; None if not recorded."""
        return _mean(self.block_iterations)

    @property
    def forwards_per_block(self) -> float | None:
        """Mean of `block_forwards`; None if not recorded."""
        return _mean(self.block_forwards)

    @property
    def exact_match(self) -> float:
        """Share of answers that equal their reference."""
        return sum(self.matched) / self.n

    @property
    def ci95(self) -> Interval:
        """95% interval of `exact_match` (Wilson)."""
        return wilson_interval(sum(self.matched), self.n)

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens a second of wall clock with one question at a time; None if not timed."""
        return self.timed_tokens / self.timed_seconds if self.timed else None

    def exact_match_of(self, long: bool) -> tuple[float | None, int]:
        """Exact match, and the count, of the long references (captions) or of the short ones."""
        chosen = [
            matched
            for matched, is_long in zip(self.matched, self.long, strict=True)
            if is_long == long
        ]
        return _mean(chosen), len(chosen)

    def to_dict(self) -> dict[str, Any]:
        """The score for a report, without the single answers."""
        return {
            "model": self.model,
            "decoding": self.decoding,
            "driver": self.driver,
            "sampling_steps": self.sampling_steps,
            "tokens_per_forward": round(self.tokens_per_forward, 4),
            "iterations_per_block": _rounded(self.iterations_per_block),
            "forwards_per_block": _rounded(self.forwards_per_block),
            "full_blocks": len(self.block_iterations),
            **(self._quality() if self.benchmark is None else self._metrics()),
            "tokens_per_second": _rounded(self.tokens_per_second),
            "n_timed": self.timed,
            "tokens_per_second_batched": round(self.tokens / self.batched_seconds, 4),
            "batch_size": self.batch_size,
            "unfinished": self.unfinished,
            "n": self.n,
        }

    def _quality(self) -> dict[str, Any]:
        long, n_long = self.exact_match_of(long=True)
        short, n_short = self.exact_match_of(long=False)
        return {
            "exact_match": round(self.exact_match, 4),
            "ci95": rounded(self.ci95),
            "exact_match_long": _rounded(long),
            "n_long": n_long,
            "cider_long": _rounded(self.cider_long),
            "exact_match_short": _rounded(short),
            "n_short": n_short,
        }

    def _metrics(self) -> dict[str, Any]:
        figures = {name: round(value, 4) for name, value in self.metrics.items()}
        return {"benchmark": self.benchmark, "metrics": figures}


def exact_match_difference(first: TextScore, second: TextScore, long: bool = False) -> Difference:
    """How much more often the first model is right, on the same questions.

    Args:
        first: One model's score.
        second: The other's.
        long: Whether to look only at references of at least one block.

    Raises:
        UserError: If there is no such question.
    """
    chosen = [index for index, is_long in enumerate(first.long) if is_long or not long]
    return paired_difference(
        [first.matched[index] for index in chosen], [second.matched[index] for index in chosen]
    )


def agreement(first: TextScore, second: TextScore) -> dict[str, Any]:
    """Share of questions that two models answer with the same words, right or wrong."""
    pairs = zip(first.answers, second.answers, strict=True)
    same = sum(a.strip() == b.strip() for a, b in pairs)
    ends = rounded(wilson_interval(same, first.n))
    return {"agreement": round(same / first.n, 4), "ci95": ends, "n": first.n}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
