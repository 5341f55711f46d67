"""Consistency losses: from any point of a segment, predict what is predicted at its end.

Sources: Show-o Turbo (arXiv 2502.05415); for text, the global consistency loss of CLLM
(arXiv 2403.00835).
"""

import torch
from torch import Tensor
from torch.nn import functional

from .chunks import in_chunks
from .reduction import LossValue, at_least_float32, check_mask, mean_over_samples


def image_consistency(target_logits: Tensor, student_logits: Tensor, masked_t: Tensor) -> LossValue:
    """Pull the prediction from state k toward the prediction from the segment's end.

    `mean over i in M_t of KL( sg p(. | u_t)_i || p_student(. | u_k)_i )`, where `u_k` is state k of
    the trajectory, `t` the end of k's segment (the state before it in the last segment, at whose
    end nothing is masked; see `target_state`) and `M_t` the positions masked at state `t`. If
    `k = t` and the target is the student's own, the loss is 0.

    Args:
        target_logits: `(batch, image tokens, codebook)` from state `t`: of the student itself
            (the published choice), of the teacher or of a moving average of the student. No
            gradient flows into them.
        student_logits: `(batch, image tokens, codebook)` from state `k`.
        masked_t: `(batch, image tokens)` boolean, the set `M_t`.

    Source: Show-o Turbo (arXiv 2502.05415).
    """
    return masked_kl(target_logits, student_logits, masked_t)


def text_consistency(target_logits: Tensor, student_logits: Tensor, differs: Tensor) -> LossValue:
    """Pull the prediction from Jacobi iterate k toward that from the iterate at its segment's end.

    `mean over positions i of KL( sg p(. | v_e)_i || p_student(. | v_k)_i )`, from the first
    position at which `v_k` and `v_e` differ to the end of the answer. Before it both networks read
    the same tokens, and there is nothing to learn.

    Args:
        target_logits: `(batch, block tokens, vocabulary)` from iterate `e`, aligned: row `i` of a
            block predicts the block's token `i` from the tokens before it. No gradient flows into
            them.
        student_logits: `(batch, block tokens, vocabulary)` from iterate `k`, aligned likewise.
        differs: `(batch, block tokens)` boolean, the counted positions.

    Source: CLLM (arXiv 2403.00835), the global consistency loss; Show-o Turbo (arXiv 2502.05415).
    """
    return masked_kl(target_logits, student_logits, differs)


def masked_kl(target_logits: Tensor, student_logits: Tensor, mask: Tensor) -> LossValue:
    """Return `KL( sg softmax(target) || softmax(student) )` averaged over the masked positions.

    Both arguments may be logits or log-probabilities, of which log-softmax makes the same.

    Args:
        target_logits: `(batch, tokens, classes)`; detached here.
        student_logits: `(batch, tokens, classes)`.
        mask: `(batch, tokens)` boolean, the positions that count.

    Raises:
        ValueError: If the shapes do not agree, or the mask is not boolean.
    """
    if target_logits.shape != student_logits.shape:
        raise ValueError(
            f"target logits have shape {tuple(target_logits.shape)}; "
            f"expected that of the student's, {tuple(student_logits.shape)}"
        )
    check_mask(mask, student_logits)
    losses = in_chunks(kl_of_logits, student_logits[mask], target_logits.detach()[mask])
    return mean_over_samples(losses, mask)


def kl_of_logits(student_logits: Tensor, target_logits: Tensor) -> Tensor:
    """Return `KL(softmax(target) || softmax(student))` of each row, `(rows, classes)` both."""
    target = functional.log_softmax(at_least_float32(target_logits), dim=-1)
    student = functional.log_softmax(at_least_float32(student_logits), dim=-1)
    return divergence(target, student)


def divergence(target_log_probs: Tensor, student_log_probs: Tensor) -> Tensor:
    """Return `KL(target || student)` over the last dimension.

    Classes that are impossible for the target contribute nothing (`0 log 0 = 0`).

    Args:
        target_log_probs: `(..., classes)`, `-inf` where a class is impossible.
        student_log_probs: `(..., classes)`; where the target is a top-k distribution, gathered at
            its classes.
    """
    impossible = target_log_probs == -torch.inf
    difference = target_log_probs.masked_fill(impossible, 0.0) - student_log_probs.masked_fill(
        impossible, 0.0
    )
    return (target_log_probs.exp() * difference).sum(dim=-1)
