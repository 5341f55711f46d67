"""A loss term of your own: the codes that the trajectory ends with, as hard labels."""

from showo_turbo.losses import LossTerm, LossValue, token_cross_entropy
from showo_turbo.losses.term import ImageInputs


class FinalCodes(LossTerm):
    """From any state k, predict the codes of the trajectory's end: -log p(y_i | u_k), i in M_k.

    Args:
        weight: Factor in the loss.
        label_smoothing: Share of each label that is spread over the whole codebook.
    """

    asks_for = ("logits",)

    def __init__(self, weight: float = 1.0, label_smoothing: float = 0.0) -> None:
        super().__init__("image", weight)
        self.label_smoothing = label_smoothing

    def compute(self, inputs: ImageInputs) -> LossValue:
        """Cross-entropy over the masked positions."""
        labels = inputs.batch.codes.masked_fill(~inputs.batch.masked_k, -100)
        found = token_cross_entropy(inputs.logits, labels)
        if not self.label_smoothing:
            return found
        uniform = -inputs.logits.float().log_softmax(-1).mean(-1)
        smooth = (uniform * inputs.batch.masked_k).sum(1) / found.counted.clamp_min(1)
        share = self.label_smoothing
        per_sample = (1 - share) * found.per_sample + share * smooth
        return LossValue(per_sample.mean(), per_sample, found.counted)
