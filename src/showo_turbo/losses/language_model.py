"""Cross-entropy of tokens: next-token prediction, and masked tokens where they stand."""

from torch import Tensor
from torch.nn import functional

from .chunks import in_chunks
from .reduction import LossValue, at_least_float32, check_mask, mean_over_samples

# The label of a position that is not trained on, as in `torch.nn.functional.cross_entropy`.
IGNORED = -100


def language_model_loss(logits: Tensor, labels: Tensor) -> LossValue:
    """Return the next-token cross-entropy over the labelled positions.

    Args:
        logits: `(batch, tokens, vocabulary)` as the network gives them: row `i` predicts token
            `i + 1`.
        labels: `(batch, tokens)`, the token that stands at each position, `-100` where it is not
            trained on. The first is never predicted.

    Source: the language term of Show-o (arXiv 2408.12528).
    """
    return token_cross_entropy(logits[:, :-1], labels[:, 1:])


def token_cross_entropy(logits: Tensor, labels: Tensor) -> LossValue:
    """Return the cross-entropy over the labelled positions, where row `i` predicts label `i`.

    This is the loss of masked image tokens, and of text whose logits are already aligned.

    Args:
        logits: `(batch, tokens, classes)`.
        labels: `(batch, tokens)`, `-100` where a position is not trained on.

    Raises:
        ValueError: If the shapes do not agree.

    Source: the masked-token term of Show-o (arXiv 2408.12528); MaskGIT (2202.04200).
    """
    counted = labels != IGNORED
    check_mask(counted, logits)
    losses = in_chunks(cross_entropies, logits[counted], labels[counted].long())
    return mean_over_samples(losses, counted)


def cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of each row of logits `(rows, classes)` with its label, in float32.

    Float64 stays float64.
    """
    return functional.cross_entropy(at_least_float32(logits), labels, reduction="none")
