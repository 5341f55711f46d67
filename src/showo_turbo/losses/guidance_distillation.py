"""Guidance distillation: one forward pass predicts what the guided base model predicts in two.

Source: the first stage of "On Distillation of Guided Diffusion Models" (arXiv 2210.03142), here for
distributions of tokens.
"""

from torch import Tensor

from ..errors import UserError
from .consistency import masked_kl
from .distribution_matching import check_guidance
from .reduction import LossValue
from .term import DraftInputs, LossTerm


def guidance_distillation_loss(
    student_logits: Tensor, guided_logits: Tensor, masked: Tensor, visible: float = 0.0
) -> LossValue:
    """Return `mean over i in M_k of KL( guided base(. | u_k)_i || p_student(. | u_k)_i )`.

    Args:
        student_logits: `(batch, image tokens, codebook)` from state k.
        guided_logits: `(batch, image tokens, codebook)` from the same state; no gradient flows into
            them.
        masked: `(batch, image tokens)` boolean, the set `M_k`.
        visible: Samples of which a smaller share of the tokens is visible do not count.

    Raises:
        ValueError: If the mask is not boolean or shapes do not agree.
    """
    known = (~masked).float().mean(dim=1, keepdim=True)
    return masked_kl(guided_logits, student_logits, masked & (known >= visible))


class GuidanceDistillation(LossTerm):
    """Predict without guidance what the guided base model predicts from the same state.

    Unlike labels, whole distributions keep what else fits. In states of which much is visible, as
    in inpainting and editing, they are what the student must not forget; see `visible`.

    Args:
        weight: Factor in the loss.
        guidance_scale: w of the base model.
        visible: Only states count of which at least this share of the tokens is visible.

    Raises:
        UserError: If a value is out of range.
    """

    asks_for = ("logits", "base_logits")
    needs_base = True

    def __init__(
        self, weight: float = 1.0, guidance_scale: float = 1.0, visible: float = 0.0
    ) -> None:
        super().__init__("image", weight)
        check_guidance(guidance_scale)
        if not 0 <= visible < 1:
            raise UserError(f"visible is {visible}; expected a share, set it to 0..1, 1 excluded")
        self.guidance_scale = guidance_scale
        self.visible = visible

    def compute(self, inputs: DraftInputs) -> LossValue:
        """The divergence over the tokens that are masked at state k."""
        batch = inputs.batch
        guided = inputs.base_logits(batch.state_k, self.guidance_scale)
        return guidance_distillation_loss(inputs.logits, guided, batch.masked_k, self.visible)
