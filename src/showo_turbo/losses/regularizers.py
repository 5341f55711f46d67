"""Regularizers: keep the student close to what the teacher's sampling produced.

Without them the consistency losses have trivial solutions, such as a student that always predicts
the same. Source: Show-o Turbo (arXiv 2502.05415).
"""

import torch
from torch import Tensor
from torch.nn import functional

from .chunks import in_chunks
from .consistency import divergence
from .language_model import IGNORED, cross_entropies, token_cross_entropy
from .reduction import LossValue, at_least_float32, check_mask, mean_over_samples


def image_regularizer(
    student_logits: Tensor, masked: Tensor, q_log_probs: Tensor, q_ids: Tensor | None = None
) -> LossValue:
    """Pull the prediction from step k toward the teacher's recorded guided distributions.

    `mean over i in M_k of KL( q_i || p_student(. | u_k)_i )`, where `M_k` are the positions masked
    at state k and `q_i` is the teacher's guided distribution at the step that revealed `i`, if it
    lies within k's segment, else at the segment's last step. So guidance, which costs the teacher
    two forwards a step, is distilled into the student's one.

    A recorded distribution keeps only its most probable codes. It is renormalized over them: the
    probability that was cut off is treated as spread like the rest, not as pushed to one code. The
    student's probabilities are those over the whole codebook, so that what it gives to other codes
    is still paid for.

    Args:
        student_logits: `(batch, image tokens, codebook)` from state `k`.
        masked: `(batch, image tokens)` boolean, the set `M_k`.
        q_log_probs: `(batch, image tokens, kept)` log-probabilities; `(batch, image tokens,
            codebook)` without `q_ids`. No gradient flows into them.
        q_ids: `(batch, image tokens, kept)`, the codes that `q_log_probs` belong to, all different.
            `None` means all of the codebook in order.

    Raises:
        ValueError: If the mask is not boolean or shapes do not agree.

    Source: Show-o Turbo (arXiv 2502.05415).
    """
    check_mask(masked, student_logits)
    expected = student_logits.shape if q_ids is None else q_ids.shape
    if q_log_probs.shape != expected or q_log_probs.shape[:-1] != masked.shape:
        raise ValueError(
            f"recorded log-probabilities have shape {tuple(q_log_probs.shape)}; "
            f"expected {tuple(masked.shape)} and as many as there are "
            f"{'codes' if q_ids is None else 'recorded ids'}"
        )
    given = [q_log_probs.detach()[masked], *([] if q_ids is None else [q_ids[masked].long()])]
    return mean_over_samples(in_chunks(kl_of_recorded, student_logits[masked], *given), masked)


def kl_of_recorded(
    student_logits: Tensor, q_log_probs: Tensor, q_ids: Tensor | None = None
) -> Tensor:
    """Return `KL(q || softmax(student))` of each row of logits `(rows, codebook)`.

    Args:
        student_logits: The student's.
        q_log_probs: `(rows, kept)`, renormalized here.
        q_ids: `(rows, kept)`, what they belong to; `None` means all of the codebook in order.
    """
    student = functional.log_softmax(at_least_float32(student_logits), dim=-1)
    recorded = functional.log_softmax(at_least_float32(q_log_probs), dim=-1)
    if q_ids is not None:
        student = student.gather(-1, q_ids)
    return divergence(recorded, student)


def image_cross_entropy(student_logits: Tensor, codes: Tensor, masked: Tensor) -> LossValue:
    """Return the cross-entropy of the trajectory's final codes: hard labels.

    `mean over i in M_k of -log p_student(y_i | u_k)`. Where the teacher's choice is drawn at random
    or is another one than its likeliest, these are the codes that it chose.

    Args:
        student_logits: `(batch, image tokens, codebook)` from state `k`.
        codes: `(batch, image tokens)`, the final codes `y`.
        masked: `(batch, image tokens)` boolean, the set `M_k`.

    Raises:
        ValueError: If the mask is not boolean or shapes do not agree.
    """
    check_mask(masked, student_logits)
    losses = in_chunks(cross_entropies, student_logits[masked], codes[masked])
    return mean_over_samples(losses, masked)


def text_regularizer(student_logits: Tensor, fixed_point: Tensor, valid: Tensor) -> LossValue:
    """Return the cross-entropy of the teacher's answer, the fixed point of its Jacobi iteration.

    Only tokens of the answer count, up to and including its end; the published script also trains
    on the prefix, by mistake.

    Args:
        student_logits: `(batch, block tokens, vocabulary)`, aligned: row `i` predicts the block's
            token `i` and was computed from the fixed point's tokens before it.
        fixed_point: `(batch, block tokens)`, the answer's tokens.
        valid: `(batch, block tokens)` boolean, false after the end of the answer.

    Source: the autoregressive loss of CLLM (arXiv 2403.00835); Show-o Turbo (arXiv 2502.05415).
    """
    labels = torch.where(valid, fixed_point, IGNORED)
    return token_cross_entropy(student_logits, labels)
