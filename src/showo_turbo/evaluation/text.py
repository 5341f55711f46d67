"""How right and how fast a model's answers about images are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .. import metrics
from ..errors import UserError
from ..inference.loaded_model import LoadedModel, seconds_now
from ..metrics.cider import cider_d
from ..models.image_input import ImageEncoder, compact
from ..models.modes import evaluating
from ..sampling.autoregressive import TextResult
from ..sampling.jacobi import Driver, JacobiResult
from ..sampling.text_decoding import DecodingChanges, TextDecoding
from ..utils.random import stateless_seed
from ..utils.share import Share
from .text_scores import TextScore

_OF_PIXELS = 3
"""Dimensions of an image's pixels; codes and features have fewer."""


@dataclass(frozen=True, eq=False)
class TextRecord:
    """An image, a question about it and the right answer.

    Attributes:
        image: Pixels `(3, height, width)` in [-1, 1], or what a model is given of them (see
            `ImageInput`), features in half precision; empty where another process answers, see
            `Share`.
        question: The question, in no prompt format.
        answer: The reference.
    """

    image: Tensor
    question: str
    answer: str


@dataclass(frozen=True)
class Answer:
    """What is kept of one answer.

    Attributes:
        text: The answer.
        tokens: How many it has, the end of text included.
        forwards: Forwards that it took, the prefill not counted.
        finished: Whether it ends before the longest length.
        iterations: Of each full block, see `TextScore`.
        block_forwards: Likewise.
    """

    text: str
    tokens: int
    forwards: int
    finished: bool
    iterations: tuple[int, ...]
    block_forwards: tuple[int, ...]


def encode_records(
    encoder: ImageEncoder, records: Sequence[TextRecord], batch_size: int = 64
) -> list[TextRecord]:
    """Encode the images of records that still have pixels."""
    device = next(encoder.parameters()).device
    encoded: list[TextRecord] = []
    with evaluating(encoder):
        for start in range(0, len(records), batch_size):
            batch = records[start : start + batch_size]
            images = [record.image for record in batch]
            if images[0].ndim == _OF_PIXELS:
                images = list(compact(encoder.encode(torch.stack(images).to(device))).cpu())
            encoded += [
                TextRecord(image, record.question, record.answer)
                for image, record in zip(images, batch, strict=True)
            ]
    return encoded


def evaluate_text(
    bundle: LoadedModel,
    records: Sequence[TextRecord],
    *,
    decoding: TextDecoding = TextDecoding(),
    seed: int = 0,
    batch_size: int = 64,
    timed: int = 8,
    name: str = "model",
    share: Share = Share(),
    progress: Callable[[int], None] | None = None,
) -> TextScore:
    """Answer every question greedily and compare with the references.

    Quality and forwards are measured in batches; the wall clock also one question at a time, on
    the first `timed` questions.

    Args:
        bundle: The networks to measure.
        records: All encoded or all with pixels.
        decoding: How answers are decoded; see `compared_decodings`.
        seed: Of the random tokens that blocks start from; question i has the same ones whatever
            the model, the batch size and the number of processes.
        batch_size: Questions answered at once.
        timed: Questions to time one by one; 0 for none.
        name: Name of the model in the score.
        share: The questions that this process answers.
        progress: Called with the number of questions of each batch once it is answered.

    Raises:
        UserError: If there are no records or an option is out of range.
    """
    if not records:
        raise UserError("there are no questions to answer; give at least one")
    decoding.check()
    by_jacobi, block_size = decoding.method == "jacobi", decoding.block_size
    writer, tokenizer = bundle.writer()
    encode, read = tokenizer.encode, tokenizer.decode
    own = share.indices(len(records))
    encoded = [records[i] for i in own]
    if any(record.image.ndim == _OF_PIXELS for record in encoded):
        encoded = encode_records(bundle.image_encoder, encoded, batch_size)
    images = dict(zip(own, [record.image for record in encoded], strict=True))

    def answer(indices: Sequence[int]) -> tuple[list[Answer], float]:
        given = torch.stack([images[index] for index in indices])
        ids = [writer.encode_question(tokenizer, records[index].question) for index in indices]
        seeds = [stateless_seed(seed, index, stream="jacobi") for index in indices]
        began = seconds_now(bundle.device)
        results = [*decoding.decode(writer, given, ids, seeds)]
        seconds = seconds_now(bundle.device) - began
        return [_answer(result, read(result.tokens), block_size) for result in results], seconds

    answers: list[Answer] = []
    batched_seconds = timed_seconds = 0.0
    timed = min(timed, len(records))
    with evaluating(bundle.network):
        for start in range(0, len(own), batch_size):
            answered, seconds = answer(own[start : start + batch_size])
            answers += answered
            batched_seconds += seconds
            if progress is not None:
                progress(len(answered))
        to_time = [index for index in own if index < timed]
        if to_time:
            answer(to_time[:1])  # warms up kernels of this shape
        for index in to_time:
            timed_seconds += answer([index])[1]

    answers = share.gather(answers)
    long = tuple(len(encode(record.answer)) + 1 >= block_size for record in records)
    texts = tuple(found.text for found in answers)
    return TextScore(
        model=name,
        decoding="ar" if decoding.method == "autoregressive" else decoding.method,
        driver=decoding.driver if by_jacobi else None,
        block_size=block_size,
        sampling_steps=decoding.denoising.steps if decoding.method == "block_diffusion" else None,
        answers=texts,
        matched=tuple(
            text.strip() == record.answer.strip()
            for text, record in zip(texts, records, strict=True)
        ),
        long=long,
        tokens=sum(found.tokens for found in answers),
        forwards=sum(found.forwards for found in answers),
        unfinished=sum(not found.finished for found in answers),
        block_iterations=tuple(count for found in answers for count in found.iterations),
        block_forwards=tuple(count for found in answers for count in found.block_forwards),
        batch_size=batch_size,
        batched_seconds=sum(share.of_all(batched_seconds)),
        timed=timed,
        timed_tokens=sum(found.tokens for found in answers[:timed]),
        timed_seconds=sum(share.of_all(timed_seconds)),
        cider_long=_mean_cider(texts, records, long),
    )


def compared_decodings(decoding: TextDecoding, drivers: Sequence[Driver]) -> list[TextDecoding]:
    """The greedy ways of decoding that are compared: autoregressive, and by Jacobi.

    Block diffusion stands alone: a model that decodes so has no other way.

    Args:
        decoding: Length of answers, size of blocks.
        drivers: How Jacobi decoding moves on.
    """
    if decoding.method == "block_diffusion":
        return [replace(decoding, temperature=0.0)]
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
    Share().prepare(metric)  # every process has all answers
    metric.update(score.answers, truths)
    return replace(
        score, matched=(), cider_long=None, benchmark=benchmark, metrics=metric.figures()
    )


def _answer(result: TextResult, text: str, block_size: int) -> Answer:
    blocks = full_blocks(result, block_size)
    return Answer(
        text,
        len(result.tokens),
        result.forwards,
        result.finished,
        tuple(published_iterations(block) for block in blocks),
        tuple(len(block) - 1 for block in blocks),
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
