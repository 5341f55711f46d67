"""Distribution matching: a student moves its own samples to where its teacher finds them likelier.

Source: Di[M]O (arXiv 2503.15457): the gradient of the divergence between what the student generates
and what the teacher would, token by token, on samples of the student that are masked again in part.
The student's own distribution there is estimated by an auxiliary network.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import UserError
from .reduction import LossValue, at_least_float32, check_mask, mean_over_samples
from .term import DraftInputs, LossTerm


def matching_gradient(
    auxiliary_log_probs: Tensor, teacher_log_probs: Tensor, forward_share: float
) -> Tensor:
    """Return the gradient that the student's logits get, in which both networks are constants.

    `(1 - b) p_a (log p_a - log p_t - KL(p_a || p_t)) + b (p_a - p_t)`, with a the auxiliary network
    and t the teacher: the gradients of the reverse and of the forward divergence with respect to
    the logits of p_a, mixed.

    Args:
        auxiliary_log_probs: `(..., codebook)`.
        teacher_log_probs: `(..., codebook)`.
        forward_share: b, the forward divergence's share.

    Source: Di[M]O (arXiv 2503.15457), the generalized Jeffreys divergence.
    """
    ours, theirs = auxiliary_log_probs.exp(), teacher_log_probs.exp()
    ratio = auxiliary_log_probs - teacher_log_probs
    divergence = (ours * ratio).sum(dim=-1, keepdim=True)
    reverse = ours * (ratio - divergence)
    return (1 - forward_share) * reverse + forward_share * (ours - theirs)


def distribution_matching_loss(
    student_logits: Tensor,
    auxiliary_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor,
    forward_share: float = 0.2,
) -> LossValue:
    """Return `1/2 |z - sg(z - g)|^2`, whose gradient is `g`, over the masked positions.

    Its value, half the squared gradient, says how far the two networks are apart.

    Args:
        student_logits: z, `(batch, image tokens, codebook)`, those that the samples were drawn
            from.
        auxiliary_logits: `(batch, image tokens, codebook)` of the samples masked again; no gradient
            flows into them.
        teacher_logits: Likewise.
        mask: `(batch, image tokens)` boolean, positions that the student sampled and that were
            masked again.
        forward_share: See `matching_gradient`.

    Raises:
        ValueError: If the mask is not boolean or shapes do not agree.
    """
    check_mask(mask, student_logits)
    if not student_logits.shape == auxiliary_logits.shape == teacher_logits.shape:
        raise ValueError(
            f"logits have shapes {tuple(student_logits.shape)}, {tuple(auxiliary_logits.shape)}, "
            f"{tuple(teacher_logits.shape)}; expected one shape"
        )
    with torch.no_grad():
        ours, theirs = (
            functional.log_softmax(at_least_float32(logits[mask]), dim=-1)
            for logits in (auxiliary_logits, teacher_logits)
        )
        gradient = matching_gradient(ours, theirs, forward_share)
    logits = at_least_float32(student_logits[mask])
    moved = (logits - gradient).detach()
    return mean_over_samples((logits - moved).square().sum(dim=-1) / 2, mask)


class DistributionMatching(LossTerm):
    """Generate what the guided base model would, see `distribution_matching_loss`.

    The auxiliary network is the base model with low-rank adapters. It learns what the student
    generates while the student learns from it; its own loss is logged as `train/auxiliary`.

    Args:
        weight: Factor in the loss.
        guidance_scale: w of the base model.
        forward_share: Share of the forward divergence, 0 to 1. The reverse one alone forgets what
            is rare; published with 0 to 0.3.
        auxiliary_rank: Rank of the auxiliary network's adapters.
        auxiliary_learning_rate: Of their optimizer.

    Raises:
        UserError: If a value is out of range.
    """

    asks_for = ("logits", "draft")
    needs_base = True

    def __init__(
        self,
        weight: float = 1.0,
        guidance_scale: float = 1.0,
        forward_share: float = 0.2,
        auxiliary_rank: int = 16,
        auxiliary_learning_rate: float = 1e-3,
    ) -> None:
        super().__init__("image", weight)
        if not 0 <= forward_share <= 1:
            raise UserError(f"forward_share is {forward_share}; expected 0 to 1, correct it")
        check_guidance(guidance_scale)
        if not 0 < auxiliary_learning_rate < math.inf:
            raise UserError(
                f"auxiliary_learning_rate is {auxiliary_learning_rate}; expected a value above 0, "
                "correct it"
            )
        self.guidance_scale = guidance_scale
        self.forward_share = forward_share
        self.auxiliary_rank = auxiliary_rank
        self.auxiliary_learning_rate = auxiliary_learning_rate

    def compute(self, inputs: DraftInputs) -> LossValue:
        """The loss over the student's own tokens that were masked again."""
        draft = inputs.draft
        teacher = inputs.base_logits(draft.state, self.guidance_scale)
        auxiliary = inputs.auxiliary_logits(self.auxiliary_rank, self.auxiliary_learning_rate)
        return distribution_matching_loss(
            inputs.logits, auxiliary, teacher, draft.masked, self.forward_share
        )


def check_guidance(guidance_scale: float) -> None:
    """Raise if a guidance scale is negative or not finite.

    Raises:
        UserError: Naming it.
    """
    if not 0 <= guidance_scale < math.inf:
        raise UserError(f"guidance_scale is {guidance_scale}; expected 0 or more, correct it")
