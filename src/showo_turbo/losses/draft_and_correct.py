"""Draft and correct: the base model corrects the student's own draft, which it is then taught.

Source: FPD (arXiv 2605.21484), without its loss on features, which would need to know a family's
layers.
"""

from torch import Tensor

from .distribution_matching import check_guidance
from .language_model import IGNORED, token_cross_entropy
from .reduction import LossValue
from .term import DraftInputs, LossTerm


def draft_and_correct_loss(
    student_logits: Tensor, teacher_logits: Tensor, mask: Tensor
) -> LossValue:
    """Return the cross-entropy of what the teacher finds likeliest in the rest of the draft.

    Args:
        student_logits: `(batch, image tokens, codebook)`, those that the draft was sampled from.
        teacher_logits: `(batch, image tokens, codebook)` of the draft masked again in part; no
            gradient flows into them.
        mask: `(batch, image tokens)` boolean, positions that the student sampled and that were
            masked again.
    """
    labels = teacher_logits.argmax(dim=-1).masked_fill(~mask, IGNORED)
    return token_cross_entropy(student_logits, labels)


class DraftAndCorrect(LossTerm):
    """Predict at once what the guided base model corrects in the student's draft.

    No auxiliary network is needed; see `draft_and_correct_loss`.

    Args:
        weight: Factor in the loss.
        guidance_scale: w of the base model.

    Raises:
        UserError: If a value is out of range.
    """

    asks_for = ("logits", "draft")
    needs_base = True

    def __init__(self, weight: float = 1.0, guidance_scale: float = 1.0) -> None:
        super().__init__("image", weight)
        check_guidance(guidance_scale)
        self.guidance_scale = guidance_scale

    def compute(self, inputs: DraftInputs) -> LossValue:
        """Cross-entropy over the student's own tokens that were masked again."""
        draft = inputs.draft
        corrected = inputs.base_logits(draft.state, self.guidance_scale)
        return draft_and_correct_loss(inputs.logits, corrected, draft.masked)
