"""The forward passes of a training step: how many tokens, and what is predicted of them."""

from dataclasses import dataclass

from .run import Run
from .terms import PASSES

QUESTION = 64
"""Tokens that a question has, with the tokens that begin a sequence."""


@dataclass(frozen=True)
class Pass:
    """A forward pass over whole sequences, as long as they may be.

    Attributes:
        name: What it predicts, as terms ask for it.
        count: Sequences.
        length: Tokens of each.
        rows: Positions of all of them that are predicted.
        classes: Of each.
        graded: Whether a backward pass follows.
    """

    name: str
    count: int
    length: int
    rows: int
    classes: int
    graded: bool = True


def passes_of(run: Run) -> dict[str, list[Pass]]:
    """The passes of each stream: prompts and answers fill their room.

    An answer that is written from left to right takes one pass for all that is asked: behind it
    ride the versions of its blocks that a loss of consistency compares.
    """
    model = run.model
    image, text = model.image_tokens, run.text_vocabulary_size
    asked = {
        stream: {PASSES[name] for term in terms for name in term.asks_for or ("logits",)}
        for stream, terms in run.streams.items()
    }
    found: dict[str, list[Pass]] = {}
    for stream, names in asked.items():
        count, prefix = run.batches[stream], image + QUESTION
        wanted = [name for name in ("logits", "noised", "target") if name in names]
        if stream == "image":
            length = model.max_text_length + image + 3
            found[stream] = [
                Pass(name, count, length, count * image, model.codebook_size, name != "target")
                for name in wanted
            ]
        elif stream == "language":
            length = run.language_length
            found[stream] = [Pass(name, count, length, count * length, text) for name in wanted]
        elif run.denoised:
            length, block = prefix + run.answer_length, count * run.block_size
            found[stream] = [
                Pass(
                    name,
                    count,
                    length,
                    count * run.answer_length if name == "noised" else block,
                    text,
                    name != "target",
                )
                for name in wanted
            ]
        else:
            blocks = -(-run.answer_length // run.block_size)
            versions = len(names & {"logits", "target"})
            length = prefix + run.answer_length + versions * blocks * (run.block_size - 1)
            rows = count * blocks * run.block_size * len(names)
            found[stream] = [Pass("logits", count, length, rows, text)]
    return found
