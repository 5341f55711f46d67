"""Self-correction: some visible tokens are wrong, and the student is taught the right ones."""

from torch import Tensor
from torch.nn import functional

from ..errors import UserError
from .reduction import LossValue, at_least_float32, check_mask
from .term import DraftInputs, LossTerm


def self_correction_loss(
    student_logits: Tensor, codes: Tensor, masked: Tensor, visible_weight: float
) -> LossValue:
    """Return the cross-entropy of all tokens, in which visible ones count less than masked ones.

    `sum_i w_i (-log p(y_i)) / sum_i w_i` of an image, with w_i = 1 where the token is masked, and
    `visible_weight` elsewhere.

    Args:
        student_logits: `(batch, image tokens, codebook)` from a state some of whose visible tokens
            are wrong.
        codes: `(batch, image tokens)`, the right ones, y.
        masked: `(batch, image tokens)` boolean.
        visible_weight: Weight of a visible token.

    Raises:
        ValueError: If the mask is not boolean or shapes do not agree.
    """
    check_mask(masked, student_logits)
    losses = functional.cross_entropy(
        at_least_float32(student_logits).transpose(1, 2), codes.long(), reduction="none"
    )
    weights = masked + visible_weight * ~masked
    per_sample = (weights * losses).sum(dim=1) / weights.sum(dim=1)
    counted = (weights > 0).sum(dim=1)
    return LossValue(per_sample.mean(), per_sample, counted)


class SelfCorrection(LossTerm):
    """Predict all tokens of a state in which the student has got some of the visible ones wrong.

    A share of the visible tokens, up to `corrupted`, is replaced by what the student generates when
    it sees nothing but the prompt: the mistakes that it makes itself. So it learns which tokens do
    not belong to an image, which `revise_below` of `ImageSampling` makes use of.

    Args:
        weight: Factor in the loss.
        visible_weight: Weight of a visible token, where that of a masked one is 1.
        corrupted: Largest share of the visible tokens that is replaced; drawn for each image.

    Raises:
        UserError: If a value is out of range.
    """

    asks_for = ("corrupted",)

    def __init__(
        self, weight: float = 1.0, visible_weight: float = 0.5, corrupted: float = 0.3
    ) -> None:
        super().__init__("image", weight)
        if not 0 < visible_weight <= 1:
            raise UserError(
                f"visible_weight is {visible_weight}; expected above 0 and at most 1, correct it"
            )
        if not 0 <= corrupted <= 1:
            raise UserError(f"corrupted is {corrupted}; expected a share from 0 to 1, correct it")
        self.visible_weight = visible_weight
        self.corrupted = corrupted

    def compute(self, inputs: DraftInputs) -> LossValue:
        """Weighted cross-entropy over all tokens."""
        batch = inputs.batch
        logits = inputs.student_logits(inputs.corrupted(self.corrupted))
        return self_correction_loss(logits, batch.codes, batch.masked_k, self.visible_weight)
