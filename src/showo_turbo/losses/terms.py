"""Terms of the loss, over the pure functions beside this file.

All but `ImageCrossEntropy` and `MaskedTextLoss` are those of Show-o Turbo (arXiv 2502.05415). The
terms of images are computed on the stream `text` just as well, where a model denoises its text.
"""

from typing import ClassVar, Literal

from .consistency import image_consistency, text_consistency
from .language_model import language_model_loss
from .masked_text import masked_text_loss
from .reduction import LossValue
from .regularizers import image_cross_entropy, image_regularizer, text_regularizer
from .term import (
    DenoisedStream,
    ImageInputs,
    LanguageInputs,
    LossTerm,
    NoisedInputs,
    TextInputs,
    TextKind,
)


class ImageConsistency(LossTerm):
    """From any state of a segment, predict what the target predicts at its end.

    See `image_consistency`.

    Args:
        weight: Factor in the loss; 0.05 is published for 256 px, 0 for 512 px.
        stream: Trajectories that it is computed on: of images, or of denoised texts.
    """

    text_kind: ClassVar[TextKind | None] = "denoised"
    asks_for: ClassVar[tuple[str, ...]] = ("logits", "target_logits")

    def __init__(self, weight: float = 0.05, stream: DenoisedStream = "image") -> None:
        super().__init__(stream, weight)

    def compute(self, inputs: ImageInputs) -> LossValue:
        """KL over the positions that are masked at the segment's end."""
        logits = inputs.logits
        return image_consistency(inputs.target_logits, logits, inputs.batch.masked_t)


class ImageRegularizer(LossTerm):
    """Stay close to the teacher's recorded guided distributions, see `image_regularizer`.

    Args:
        weight: Factor in the loss; published as 1.
        stream: Trajectories that it is computed on: of images, or of denoised texts.
    """

    text_kind: ClassVar[TextKind | None] = "denoised"
    asks_for: ClassVar[tuple[str, ...]] = ("logits",)

    def __init__(self, weight: float = 1.0, stream: DenoisedStream = "image") -> None:
        super().__init__(stream, weight)

    def compute(self, inputs: ImageInputs) -> LossValue:
        """KL over the positions that are masked at state k."""
        batch = inputs.batch
        return image_regularizer(inputs.logits, batch.masked_k, batch.q_log_probs, batch.q_ids)


class ImageCrossEntropy(LossTerm):
    """Predict the codes that the teacher chose, see `image_cross_entropy`.

    Args:
        weight: Factor in the loss.
        stream: Trajectories that it is computed on: of images, or of denoised texts.
    """

    text_kind: ClassVar[TextKind | None] = "denoised"
    asks_for: ClassVar[tuple[str, ...]] = ("logits",)

    def __init__(self, weight: float = 1.0, stream: DenoisedStream = "image") -> None:
        super().__init__(stream, weight)

    def compute(self, inputs: ImageInputs) -> LossValue:
        """Cross-entropy over the positions that are masked at state k."""
        return image_cross_entropy(inputs.logits, inputs.batch.codes, inputs.batch.masked_k)


class TextConsistency(LossTerm):
    """From any Jacobi iterate, predict what the target predicts at the segment's end.

    See `text_consistency`.

    Args:
        weight: Factor in the loss; published as 0.5.
    """

    text_kind: ClassVar[TextKind | None] = "left_to_right"
    asks_for: ClassVar[tuple[str, ...]] = ("logits", "target_logits")

    def __init__(self, weight: float = 0.5) -> None:
        super().__init__("text", weight)

    def compute(self, inputs: TextInputs) -> LossValue:
        """KL over the positions from the first difference of the two iterates on."""
        logits = inputs.logits
        return text_consistency(inputs.target_logits, logits, inputs.batch.differs)


class TextRegularizer(LossTerm):
    """Next-token prediction of the teacher's answers, see `text_regularizer`.

    Args:
        weight: Factor in the loss; published as 5.
    """

    text_kind: ClassVar[TextKind | None] = "left_to_right"
    asks_for: ClassVar[tuple[str, ...]] = ("fixed_point_logits",)

    def __init__(self, weight: float = 5.0) -> None:
        super().__init__("text", weight)

    def compute(self, inputs: TextInputs) -> LossValue:
        """Cross-entropy over the answer's tokens."""
        batch = inputs.batch
        return text_regularizer(inputs.fixed_point_logits, batch.fixed_point, batch.valid)


class LanguageModelLoss(LossTerm):
    """Next-token prediction of plain text, see `language_model_loss`.

    Args:
        weight: Factor in the loss; published as 0.1.
    """

    text_kind: ClassVar[TextKind | None] = "left_to_right"
    asks_for: ClassVar[tuple[str, ...]] = ("logits",)

    def __init__(self, weight: float = 0.1) -> None:
        super().__init__("language", weight)

    def compute(self, inputs: LanguageInputs) -> LossValue:
        """Cross-entropy over all tokens but the first."""
        return language_model_loss(inputs.logits, inputs.labels)


class MaskedTextLoss(LossTerm):
    """Prediction of randomly masked tokens, what a model that denoises text was trained on.

    It takes the place of both losses of next tokens, `TextRegularizer` on the teacher's answers and
    `LanguageModelLoss` on plain text; see `masked_text_loss`.

    Args:
        stream: `text`, the teacher's answers, or `language`, plain text.
        weight: Factor in the loss.
    """

    text_kind: ClassVar[TextKind | None] = "denoised"
    asks_for: ClassVar[tuple[str, ...]] = ("noised_logits",)

    def __init__(
        self, stream: Literal["text", "language"] = "language", weight: float = 1.0
    ) -> None:
        super().__init__(stream, weight)

    def compute(self, inputs: NoisedInputs) -> LossValue:
        """Cross-entropy over the masked tokens, weighted by how few were to be expected."""
        noised = inputs.noised
        return masked_text_loss(
            inputs.noised_logits, noised.labels, noised.mask_probability, noised.maskable
        )


def published_losses() -> dict[str, LossTerm]:
    """The terms with the weights that were published for 256 px."""
    return {
        "image_consistency": ImageConsistency(),
        "image_regularizer": ImageRegularizer(),
        "text_consistency": TextConsistency(),
        "text_regularizer": TextRegularizer(),
        "language": LanguageModelLoss(),
    }
