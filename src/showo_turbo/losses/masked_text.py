"""Cross-entropy of text masked at random: what a model that denoises text is trained on."""

import torch
from torch import Tensor

from .chunks import in_chunks
from .language_model import IGNORED, cross_entropies
from .reduction import LossValue, check_mask


def masked_text_loss(
    logits: Tensor, labels: Tensor, mask_probability: Tensor, maskable: Tensor
) -> LossValue:
    """Return the cross-entropy of masked tokens, each weighted by 1 / p.

    `mean over texts of 1 / L sum over masked i of -log p(x_i) / p`, with p the probability with
    which each of the L tokens of a text was masked: an upper bound of the negative log-likelihood a
    token. A text of which chance masks nothing counts as 0.

    Args:
        logits: `(batch, tokens, vocabulary)`; row i predicts token i.
        labels: `(batch, tokens)`, the masked tokens, `-100` elsewhere.
        mask_probability: `(batch,)`, p of each text.
        maskable: `(batch,)`, L of each text.

    Raises:
        ValueError: If the shapes do not agree.

    Source: LLaDA (arXiv 2502.09992), equation 3; MMaDA (arXiv 2505.15809).
    """
    masked = labels != IGNORED
    check_mask(masked, logits)
    losses = in_chunks(cross_entropies, logits[masked], labels[masked].long())
    by_position = losses.new_zeros(masked.shape).masked_scatter(masked, losses)
    per_sample = by_position.sum(dim=1) / (mask_probability * maskable).to(losses)
    return LossValue(torch.mean(per_sample), per_sample, maskable)
