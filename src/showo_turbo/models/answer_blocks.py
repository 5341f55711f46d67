"""Answers and their blocks, as a model family predicts them in training."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

FIXED_POINT = "fixed_point_logits"
"""Name of what `answer_logits` predicts from the answers themselves."""


class AnswerBlocks(Protocol):
    """Answers and their blocks, as far as `answer_logits` needs them; see `TextBatch`."""

    @property
    def prompt_ids(self) -> Sequence[Sequence[int]]:
        """Ids before each answer."""

    @property
    def answer_ids(self) -> Sequence[Sequence[int]]:
        """Ids of each answer, up to and including its end."""

    @property
    def images(self) -> Tensor:
        """The image of each answer, `(answers, ...)`; see `ImageInput`."""

    @property
    def answer(self) -> Tensor:
        """`(blocks,)`, which answer a block is of."""

    @property
    def start(self) -> Tensor:
        """`(blocks,)`, the answer's token that a block begins with."""

    @property
    def fixed_point(self) -> Tensor:
        """`(blocks, block tokens)`, the answers themselves."""
