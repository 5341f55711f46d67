"""Consistency of blocks that follow each other while all of them are still guesses.

Blocks that are decoded one after the other see right tokens before them. Where the next block is
guessed before the last one is settled, it sees guesses: the farther ahead, the more of them wrong.
"""

from typing import ClassVar

from torch import Tensor

from .consistency import masked_kl
from .reduction import LossValue
from .term import LossTerm, TextInputs, TextKind


def counted_in_chains(differs: Tensor, valid: Tensor, answer: Tensor, start: Tensor) -> Tensor:
    """Return `(blocks, block tokens)` boolean: the positions that see another past than the target.

    These are the valid ones from the first difference of an answer on: of the block in which it
    lies as in `text_consistency`, and of all blocks behind it.

    Args:
        differs: `(blocks, block tokens)` boolean, of each block by itself.
        valid: `(blocks, block tokens)` boolean.
        answer: `(blocks,)`, which answer a block is of.
        start: `(blocks,)`, the answer's token that it begins with.
    """
    behind = (answer[:, None] == answer) & (start[:, None] > start)
    after_a_difference = (behind & differs.any(dim=1)).any(dim=1)
    return differs | (valid & after_a_difference[:, None])


class ChainedTextConsistency(LossTerm):
    """From the iterates of all blocks of an answer at once, predict what each has at its end.

    Iterate k of a block is read behind the iterates of the blocks before it. The target is what is
    predicted from the block's iterate at its segment's end behind the answer itself. Noisy and
    clean blocks are packed into one forward pass. Best with `GrowingNoise`, by which a block knows
    less the farther ahead it is.

    Args:
        weight: Factor in the loss.

    Source: Jacobi Forcing (arXiv 2512.14681), multi-block decoding; the loss is that of CLLM
    (arXiv 2403.00835).
    """

    text_kind: ClassVar[TextKind | None] = "left_to_right"
    asks_for: ClassVar[tuple[str, ...]] = ("chained_logits", "target_logits")

    def __init__(self, weight: float = 0.5) -> None:
        super().__init__("text", weight)

    def compute(self, inputs: TextInputs) -> LossValue:
        """KL over the positions from an answer's first difference on."""
        batch = inputs.batch
        counted = counted_in_chains(batch.differs, batch.valid, batch.answer, batch.start)
        return masked_kl(inputs.target_logits, inputs.chained_logits, counted)
