"""How right and how fast a model's answers about images are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .. import metrics
from ..errors import UserError
from ..metrics.cider import cider_d
from ..models.magvitv2 import MAGVITv2
from ..models.modes import evaluating
from ..models.protocols import ImageModel
from ..models.registry import text_model
from ..sampling.autoregressive import TextResult
from ..sampling.jacobi import Driver, JacobiResult
from ..sampling.text_decoding import DecodingChanges, TextDecoding
from ..text_tokenizer import TextTokenizer
from ..utils.random import stateless_seed
from .images import seconds_now
from .text_scores import TextScore

__all__ = [
    "TextRecord",
    "TextScore",
    "compared_decodings",
    "encode_records",
    "evaluate_text",
    "judge_answers",
]


@dataclass(frozen=True, eq=False)
class TextRecord:
    """An image, a question about it and the right answer.

    Attributes:
        image: Codes `(image_tokens,)`, or pixels `(3, height, width)` in [-1, 1].
        question: The question, in no prompt format.
        answer: The reference.
    """

    image: Tensor
    question: str
    answer: str


def encode_records(
    image_tokenizer: MAGVITv2, records: Sequence[TextRecord], batch_size: int = 64
) -> list[TextRecord]:
    """Replace pixels by codes where a record still has pixels."""
    device = next(image_tokenizer.parameters()).device
    encoded: list[TextRecord] = []
    with evaluating(image_tokenizer):
        for start in range(0, len(records), batch_size):
            batch = records[start : start + batch_size]
            images = [record.image for record in batch]
            if images[0].is_floating_point():
                images = list(image_tokenizer.encode(torch.stack(images).to(device)).cpu())
            encoded += [
                TextRecord(image, record.question, record.answer)
                for image, record in zip(images, batch, strict=True)
            ]
    return encoded


def evaluate_text(
    model: ImageModel,
    image_tokenizer: MAGVITv2,
    text_tokenizer: TextTokenizer,
    records: Sequence[TextRecord],
    *,
    decoding: TextDecoding = TextDecoding(),
    seed: int = 0,
    batch_size: int = 64,
    timed: int = 8,
    name: str = "model",
    progress: Callable[[int], None] | None = None,
) -> TextScore:
    """Answer every question greedily and compare with the references.

    Quality and forwards are measured in batches; the wall clock also one question at a time, on
    the first `timed` questions.

    Args:
        model: Network to measure.
        image_tokenizer: Encodes the images of records that hold pixels.
        text_tokenizer: Encodes questions, decodes answers.
        records: All with codes or all with pixels.
        decoding: How answers are decoded; see `compared_decodings`.
        seed: Of the random tokens that blocks start from; question i has the same ones whatever
            the model and the batch size.
        batch_size: Questions answered at once.
        timed: Questions to time one by one; 0 for none.
        name: Name of the model in the score.
        progress: Told how many questions have been answered, after each batch.

    Raises:
        UserError: If there are no records or an option is out of range.
    """
    if not records:
        raise UserError("there are no questions to answer; give at least one")
    decoding.check()
    writer = text_model(model, "answering questions")
    by_jacobi, block_size = decoding.method == "jacobi", decoding.block_size
    records = encode_records(image_tokenizer, records, batch_size)

    def answer(indices: Sequence[int]) -> tuple[list[TextResult], float]:
        batch = [records[index] for index in indices]
        codes = torch.stack([record.image for record in batch])
        ids = [writer.encode_question(text_tokenizer, record.question) for record in batch]
        began = seconds_now(model)
        seeds = [stateless_seed(seed, index, stream="jacobi") for index in indices]
        results = [*decoding.decode(model, codes, ids, seeds)]
        return results, seconds_now(model) - began

    results: list[TextResult] = []
    batched_seconds = timed_seconds = 0.0
    timed = min(timed, len(records))
    with evaluating(model):
        for start in range(0, len(records), batch_size):
            indices = range(start, min(start + batch_size, len(records)))
            answered, seconds = answer(indices)
            results += answered
            batched_seconds += seconds
            if progress is not None:
                progress(len(indices))
        if timed:
            answer([0])  # warms up kernels of this shape
        for index in range(timed):
            timed_seconds += answer([index])[1]

    long = tuple(len(text_tokenizer.encode(record.answer)) + 1 >= block_size for record in records)
    answers = tuple(text_tokenizer.decode(result.tokens) for result in results)
    blocks = [block for result in results for block in full_blocks(result, block_size)]
    return TextScore(
        model=name,
        decoding="jacobi" if by_jacobi else "ar",
        driver=decoding.driver if by_jacobi else None,
        block_size=block_size,
        answers=answers,
        matched=tuple(
            text.strip() == record.answer.strip()
            for text, record in zip(answers, records, strict=True)
        ),
        long=long,
        tokens=sum(len(result.tokens) for result in results),
        forwards=sum(result.forwards for result in results),
        unfinished=sum(not result.finished for result in results),
        block_iterations=tuple(published_iterations(block) for block in blocks),
        block_forwards=tuple(len(block) - 1 for block in blocks),
        batch_size=batch_size,
        batched_seconds=batched_seconds,
        timed=timed,
        timed_tokens=sum(len(result.tokens) for result in results[:timed]),
        timed_seconds=timed_seconds,
        cider_long=_mean_cider(answers, records, long),
    )


def compared_decodings(decoding: TextDecoding, drivers: Sequence[Driver]) -> list[TextDecoding]:
    """The greedy ways of decoding that are compared: token by token, and Jacobi's.

    Args:
        decoding: Length of answers, size of blocks.
        drivers: How Jacobi decoding moves on.
    """
    by_jacobi = [DecodingChanges(method="jacobi", driver=driver) for driver in drivers]
    changes = [DecodingChanges(method="autoregressive"), *by_jacobi]
    return [change.over(decoding) for change in changes]


def judge_answers(
    score: TextScore, benchmark: str, truths: Sequence[Mapping[str, Any]]
) -> TextScore:
    """Score answers to the questions of a benchmark by its metric.

    Args:
        score: The answers, in the order of the questions.
        benchmark: Name of the metric in `showo_turbo.metrics`.
        truths: What the metric needs to know of each question.
    """
    metric = getattr(metrics, benchmark)()
    metric.update(score.answers, truths)
    return replace(
        score, matched=(), cider_long=None, benchmark=benchmark, metrics=metric.figures()
    )


def _mean_cider(
    answers: Sequence[str], records: Sequence[TextRecord], long: Sequence[bool]
) -> float | None:
    """CIDEr-D of the long answers, each against its one reference."""
    chosen = [index for index, is_long in enumerate(long) if is_long]
    scores = cider_d([answers[i] for i in chosen], [[records[i].answer] for i in chosen])
    return sum(scores) / len(scores) if scores else None


def full_blocks(result: TextResult, block_size: int) -> list[Tensor]:
    """The recorded blocks whose tokens all belong to the answer.

    The last block of an answer, in which the end of text comes early, would settle sooner.
    """
    if not isinstance(result, JacobiResult):
        return []
    return result.blocks[: len(result.tokens) // block_size]


def published_iterations(iterates: Tensor) -> int:
    """Iterations of the published loop on a block, which ends when an iterate repeats itself.

    Args:
        iterates: `(iterations + 1, block)`: the random start first, the fixed point last.

    Source: CLLM (arXiv 2403.00835), algorithm 1.
    """
    reached = int((iterates == iterates[-1]).all(dim=1).nonzero()[0])
    return reached + 1
