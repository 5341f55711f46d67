"""What a term of the loss is, and what it may ask for."""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

from torch import Tensor

from ..errors import UserError
from .reduction import LossValue


class ImageInputs(Protocol):
    """What terms of the stream `image` may ask for; logits are computed when first asked for.

    Attributes:
        batch: The `ImageBatch`: trajectories, each at a drawn state k of its own.
        logits: `(batch, image tokens, codebook)`, the student's from state k.
        target_logits: `(batch, image tokens, codebook)`, the consistency target's from the state at
            the segment's end, see `target_state`; without gradients.
    """

    @property
    def batch(self) -> Any:
        """The `ImageBatch`."""

    @property
    def logits(self) -> Tensor:
        """The student's, from state k."""

    @property
    def target_logits(self) -> Tensor:
        """The consistency target's, from the segment's end."""


class TextInputs(Protocol):
    """What terms of the stream `text` may ask for; logits are computed when first asked for.

    All are aligned: row i of a block predicts the block's token i from the tokens before it.

    Attributes:
        batch: The `TextBatch`: answers, each of their blocks at a drawn Jacobi iterate k.
        logits: `(blocks, block tokens, text vocabulary)`, the student's from iterate k.
        target_logits: Likewise, the consistency target's from the iterate at the segment's end;
            without gradients.
        fixed_point_logits: Likewise, the student's from the fixed point.
    """

    @property
    def batch(self) -> Any:
        """The `TextBatch`."""

    @property
    def logits(self) -> Tensor:
        """The student's, from iterate k."""

    @property
    def target_logits(self) -> Tensor:
        """The consistency target's, from the iterate at the segment's end."""

    @property
    def fixed_point_logits(self) -> Tensor:
        """The student's, from the fixed point."""


class LanguageInputs(Protocol):
    """What terms of the stream `language` may ask for.

    Attributes:
        logits: `(texts, tokens, text vocabulary)`, the student's; row i predicts token i + 1.
        labels: `(texts, tokens)`, the tokens, `-100` at padding.
    """

    @property
    def logits(self) -> Tensor:
        """The student's."""

    @property
    def labels(self) -> Tensor:
        """The tokens."""


def check_weight(name: str, weight: float) -> None:
    """Raise if a weight is negative or not finite.

    Raises:
        UserError: Naming the term.
    """
    if not (math.isfinite(weight) and weight >= 0):
        raise UserError(f"weight of {name} is {weight}; expected 0 or more, correct it")


class LossTerm(ABC):
    """One term of the loss. A term of your own is a subclass with `compute`, named in the YAML.

    Args:
        stream: Stream of the training batch that it is computed on: `image`, `text` or `language`.
        weight: Factor of the term in the loss; with 0 it is not computed.

    Attributes:
        asks_for: Names of the logits that `compute` asks for. Those of all terms then come from one
            forward pass of a stream, where it has several; what is asked for without being named
            here takes a pass of its own.

    Raises:
        UserError: If the weight is negative or not finite.
    """

    asks_for: ClassVar[tuple[str, ...]] = ()

    def __init__(self, stream: str, weight: float = 1.0) -> None:
        check_weight(type(self).__name__, weight)
        self.stream = stream
        self.weight = weight

    @abstractmethod
    def compute(self, inputs: Any) -> LossValue:
        """Return the unweighted loss.

        Args:
            inputs: `ImageInputs`, `TextInputs` or `LanguageInputs`, by the term's stream.
        """
