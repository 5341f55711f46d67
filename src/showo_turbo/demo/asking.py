"""Answers, with the Jacobi iterates or the states of denoising that they settled through."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

from ..inference.pipeline import ShowoPipeline
from ..sampling.block_diffusion import (
    BlockDiffusionResult,
    TextDenoising,
    block_diffusion_decode,
)
from ..sampling.jacobi import jacobi_decode
from ..viz.film_strip import settling_rows


@dataclass(frozen=True)
class Settling:
    """How a block of an answer settled.

    Attributes:
        rows: The tokens of every iterate or state as text, None where masked.
        settled: How many tokens of each row are final, those that are masked included.
    """

    rows: Sequence[Sequence[str | None]]
    settled: Sequence[int]


@dataclass(frozen=True)
class Told:
    """An answer and what it cost.

    Attributes:
        text: The answer.
        tokens: How many it has.
        forwards: How many forward passes wrote it.
        milliseconds: How long they took.
        blocks: How each block settled.
    """

    text: str
    tokens: int
    forwards: int
    milliseconds: float
    blocks: Sequence[Settling]

    def summary(self) -> str:
        """The cost in one line."""
        return (
            f"{self.tokens} tokens in {self.forwards} forward passes "
            f"({self.tokens / max(1, self.forwards):.2f} each), {self.milliseconds:.0f} ms"
        )


def ask(pipeline: ShowoPipeline, image: Image.Image, question: str, seed: int = 0) -> Told:
    """Ask a question about an image.

    Args:
        pipeline: Answers it.
        image: What it is about.
        question: The question.
        seed: Of the first guesses.

    Raises:
        UserError: If the question is too long, or the model does not write text.
    """
    decoding = pipeline.decoding
    writer, tokenizer = pipeline.writer("the demo")
    ids = pipeline.encode_question(question, decoding.max_new_tokens)
    encoded = pipeline.encode_asked_images([image])
    if decoding.method == "block_diffusion":
        (denoised,), seconds = pipeline.timed(
            lambda: block_diffusion_decode(writer, encoded, [ids], decoding.denoising, [seed])
        )
        return Told(
            tokenizer.decode(denoised.tokens).strip(),
            len(denoised.tokens),
            denoised.forwards,
            1000 * seconds,
            _denoised_blocks(denoised, decoding.denoising, tokenizer.decode),
        )
    (result,), seconds = pipeline.timed(
        lambda: jacobi_decode(
            writer,
            encoded,
            [ids],
            max_new_tokens=decoding.max_new_tokens,
            block_size=decoding.block_size,
            block_start=decoding.block_start,
            seeds=[seed],
        )
    )
    blocks, begin = [], 0
    for iterates in result.blocks:
        valid = min(iterates.shape[1], len(result.tokens) - begin)
        if valid > 0:
            blocks.append(Settling(*settling_rows(iterates[:, :valid].cpu(), tokenizer.decode)))
        begin += iterates.shape[1]
    text = tokenizer.decode(result.tokens).strip()
    return Told(text, len(result.tokens), result.forwards, 1000 * seconds, blocks)


def _denoised_blocks(
    result: BlockDiffusionResult, options: TextDenoising, decode: Callable[[list[int]], str]
) -> list[Settling]:
    """The states of every block, from all masked to none."""
    blocks = []
    steps, texts = options.steps_per_block, [decode([token]) for token in result.tokens]
    for number, begin in enumerate(range(0, len(texts), options.block_size)):
        own = texts[begin : begin + options.block_size]
        revealed = result.reveal_step[begin : begin + len(own)].tolist()
        states = range(number * steps, (number + 1) * steps + 1)
        rows = [
            [text if step <= state else None for text, step in zip(own, revealed, strict=True)]
            for state in states
        ]
        blocks.append(Settling(rows, [len(own)] * len(rows)))
    return blocks


def iterates_as_html(blocks: Sequence[Settling], shown: int) -> str:
    """The first iterates of an answer as tables, final tokens green and bold.

    Args:
        blocks: How the blocks settled.
        shown: How many iterates of them all, in their order.
    """
    parts = []
    for block in blocks:
        rows = list(zip(block.rows, block.settled, strict=True))[: max(0, shown)]
        shown -= len(block.rows)
        if rows:
            lines = "".join(_row(number, *row) for number, row in enumerate(rows))
            parts.append(f"<div class='settling'><table>{lines}</table></div>")
    return "".join(parts)


def _row(number: int, texts: Sequence[str | None], settled: int) -> str:
    cells = "".join(
        f"<td class='{'open' if text is None or column >= settled else 'settled'}'>"
        f"{escape(text or '')}</td>"
        for column, text in enumerate(texts)
    )
    return f"<tr><th>{number or 'start'}</th>{cells}</tr>"
