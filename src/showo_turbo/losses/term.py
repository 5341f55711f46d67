"""What a term of the loss is, and what it may ask for."""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from torch import Tensor

from ..errors import UserError
from .reduction import LossValue

TextKind = Literal["left_to_right", "denoised"]
"""How a model writes text."""

DenoisedStream = Literal["image", "text"]
"""Streams of what is denoised; a text is only by some models."""


class ImageInputs(Protocol):
    """What terms of the stream `image` may ask for; logits are computed when first asked for.

    Of a model that denoises its text, terms of the stream `text` may ask for the same, with a block
    of an answer in place of the image, and ids of text in place of codes.

    Attributes:
        batch: The `ImageBatch` or `DenoisedTextBatch`: trajectories, each at a drawn state k of its
            own.
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


class Draft(NamedTuple):
    """Images that the student generated at once, masked again in part.

    Attributes:
        codes: `(batch, image tokens)`: where state k is masked, what the student generated, each
            token for itself, by its prediction from state k; elsewhere what state k has.
        state: The same with a random share of all tokens masked again.
        masked: `(batch, image tokens)` boolean, the student's own tokens among those.
    """

    codes: Tensor
    state: Tensor
    masked: Tensor


class DraftInputs(ImageInputs, Protocol):
    """What terms of the stream `image` may ask for that look at what the student itself generates.

    What is generated depends on the batch's seeds and on the student alone.

    Attributes:
        draft: The student's own images from state k; without gradients.
    """

    @property
    def draft(self) -> Draft:
        """The student's own images."""

    def base_logits(self, state: Tensor, guidance_scale: float) -> Tensor:
        """The guided logits of the model that training started from; without gradients.

        Args:
            state: `(batch, image tokens)`, masked in part.
            guidance_scale: w.

        Returns:
            `(batch, image tokens, codebook)` float32.
        """

    def auxiliary_logits(self, rank: int, learning_rate: float) -> Tensor:
        """The auxiliary network's logits of the draft's state; without gradients.

        It is the model that training started from with adapters, which learn the draft's tokens in
        the same call, a step each time.

        Args:
            rank: Of the adapters.
            learning_rate: Of their optimizer.

        Returns:
            `(batch, image tokens, codebook)` float32.
        """

    def student_logits(self, state: Tensor) -> Tensor:
        """The student's logits of any state, with gradients.

        Args:
            state: `(batch, image tokens)`, masked in part.

        Returns:
            `(batch, image tokens, codebook)`.
        """

    def corrupted(self, most: float) -> Tensor:
        """State k with some of its visible tokens replaced by what the student generates.

        Args:
            most: Largest share of an image's visible tokens; the share is uniform up to there.

        Returns:
            `(batch, image tokens)`.
        """


class TextInputs(Protocol):
    """What terms of the stream `text` may ask for; logits are computed when first asked for.

    All are aligned: row i of a block predicts the block's token i from the tokens before it.

    Attributes:
        batch: The `TextBatch`: answers, each of their blocks at a drawn Jacobi iterate k.
        logits: `(blocks, block tokens, text vocabulary)`, the student's from iterate k.
        target_logits: Likewise, the consistency target's from the iterate at the segment's end;
            without gradients.
        fixed_point_logits: Likewise, the student's from the fixed point.
        chained_logits: Likewise, the student's from iterate k behind the iterates k of the answer's
            blocks before it, in place of the answer itself.
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

    @property
    def chained_logits(self) -> Tensor:
        """The student's, from iterate k of all blocks at once."""


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


class NoisedTexts(NamedTuple):
    """Texts of which a random share is masked.

    Attributes:
        tokens: `(texts, tokens)`, with the mask where masked.
        labels: `(texts, tokens)`, what was masked, `-100` elsewhere.
        mask_probability: `(texts,)`, with which each token of a text was masked.
        maskable: `(texts,)`, tokens that might have been.
    """

    tokens: Tensor
    labels: Tensor
    mask_probability: Tensor
    maskable: Tensor


class NoisedInputs(Protocol):
    """What terms of the streams `text` and `language` may ask for of a model that denoises text.

    Attributes:
        noised: The answers, or the plain texts, masked at random.
        noised_logits: `(texts, tokens, text vocabulary)`, the student's from them; row i predicts
            token i.
    """

    @property
    def noised(self) -> NoisedTexts:
        """The texts."""

    @property
    def noised_logits(self) -> Tensor:
        """The student's."""


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
        text_kind: How a model must write text for the term to mean something; None for any. Only
            the streams `text` and `language` are looked at.
        needs_base: Whether it asks for logits of the model that training started from, which is
            then kept in memory.

    Raises:
        UserError: If the weight is negative or not finite.
    """

    asks_for: ClassVar[tuple[str, ...]] = ()
    text_kind: ClassVar[TextKind | None] = None
    needs_base: ClassVar[bool] = False

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
