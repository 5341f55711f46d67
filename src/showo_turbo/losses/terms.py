"""Terms of the loss, over the pure functions beside this file.

All but `ImageCrossEntropy` are those of Show-o Turbo (arXiv 2502.05415).
"""

from typing import ClassVar

from .consistency import image_consistency, text_consistency
from .language_model import language_model_loss
from .reduction import LossValue
from .regularizers import image_cross_entropy, image_regularizer, text_regularizer
from .term import ImageInputs, LanguageInputs, LossTerm, TextInputs


class ImageConsistency(LossTerm):
    """From any state of a segment, predict what the target predicts at its end.

    See `image_consistency`.

    Args:
        weight: Factor in the loss; 0.05 is published for 256 px, 0 for 512 px.
    """

    asks_for: ClassVar[tuple[str, ...]] = ("logits", "target_logits")

    def __init__(self, weight: float = 0.05) -> None:
        super().__init__("image", weight)

    def compute(self, inputs: ImageInputs) -> LossValue:
        """KL over the positions that are masked at the segment's end."""
        logits = inputs.logits
        return image_consistency(inputs.target_logits, logits, inputs.batch.masked_t)


class ImageRegularizer(LossTerm):
    """Stay close to the teacher's recorded guided distributions, see `image_regularizer`.

    Args:
        weight: Factor in the loss; published as 1.
    """

    asks_for: ClassVar[tuple[str, ...]] = ("logits",)

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__("image", weight)

    def compute(self, inputs: ImageInputs) -> LossValue:
        """KL over the positions that are masked at state k."""
        batch = inputs.batch
        return image_regularizer(inputs.logits, batch.masked_k, batch.q_log_probs, batch.q_ids)


class ImageCrossEntropy(LossTerm):
    """Predict the codes that the teacher chose, see `image_cross_entropy`.

    Args:
        weight: Factor in the loss.
    """

    asks_for: ClassVar[tuple[str, ...]] = ("logits",)

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__("image", weight)

    def compute(self, inputs: ImageInputs) -> LossValue:
        """Cross-entropy over the positions that are masked at state k."""
        return image_cross_entropy(inputs.logits, inputs.batch.codes, inputs.batch.masked_k)


class TextConsistency(LossTerm):
    """From any Jacobi iterate, predict what the target predicts at the segment's end.

    See `text_consistency`.

    Args:
        weight: Factor in the loss; published as 0.5.
    """

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

    asks_for: ClassVar[tuple[str, ...]] = ("logits",)

    def __init__(self, weight: float = 0.1) -> None:
        super().__init__("language", weight)

    def compute(self, inputs: LanguageInputs) -> LossValue:
        """Cross-entropy over all tokens but the first."""
        return language_model_loss(inputs.logits, inputs.labels)


def published_losses() -> dict[str, LossTerm]:
    """The terms with the weights that were published for 256 px."""
    return {
        "image_consistency": ImageConsistency(),
        "image_regularizer": ImageRegularizer(),
        "text_consistency": TextConsistency(),
        "text_regularizer": TextRegularizer(),
        "language": LanguageModelLoss(),
    }
