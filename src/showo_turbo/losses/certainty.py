"""Certainty: where the student is right already, be sure of it."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import UserError
from .reduction import LossValue, at_least_float32, check_mask, mean_over_samples
from .term import LossTerm


def certainty_loss(
    student_logits: Tensor, labels: Tensor, mask: Tensor, temperature: float = 0.5
) -> LossValue:
    """Return the mean entropy of the sharpened prediction where its likeliest token is right.

    `H(softmax(z / temperature))` over the masked positions with `argmax z = y`: tokens that several
    steps settle one after the other, because each is unsure until the one before is known, can be
    settled together once they are sure.

    Args:
        student_logits: z, `(batch, tokens, classes)`.
        labels: y, `(batch, tokens)`.
        mask: `(batch, tokens)` boolean, positions that may count.
        temperature: Below 1 it sharpens.

    Raises:
        ValueError: If the mask is not boolean or shapes do not agree.

    Source: dParallel (arXiv 2509.26488), the certainty-forcing loss.
    """
    check_mask(mask, student_logits)
    right = mask & (student_logits.argmax(dim=-1) == labels)
    sharp = at_least_float32(student_logits[right]) / temperature
    # Of a class that cannot be, p log p is 0, not 0 times infinity, and so is its gradient.
    sharp = sharp.masked_fill(sharp == -torch.inf, torch.finfo(sharp.dtype).min)
    log_probs = functional.log_softmax(sharp, -1)
    return mean_over_samples(-(log_probs.exp() * log_probs).sum(dim=-1), right)


class Certainty(LossTerm):
    """Be sure of what is right already, see `certainty_loss`.

    It comes beside a term that teaches what is right.

    Args:
        weight: Factor in the loss; published as 1 to 2.
        stream: Trajectories that it is computed on: `text`, of answers in either way of writing
            them, or `image`.
        temperature: See `certainty_loss`.

    Raises:
        UserError: If the temperature is not above 0.
    """

    asks_for: ClassVar[tuple[str, ...]] = ("logits",)

    def __init__(
        self,
        weight: float = 1.0,
        stream: Literal["text", "image"] = "text",
        temperature: float = 0.5,
    ) -> None:
        super().__init__(stream, weight)
        if not temperature > 0:
            raise UserError(f"temperature is {temperature}; expected above 0, correct it")
        self.temperature = temperature

    def compute(self, inputs: Any) -> LossValue:
        """Entropy over what the student has yet to settle and predicts right.

        Args:
            inputs: `TextInputs` or `ImageInputs`.
        """
        batch = inputs.batch
        if hasattr(batch, "masked_k"):
            labels, unsettled = batch.codes, batch.masked_k
        else:
            labels, unsettled = batch.fixed_point, batch.differs
        return certainty_loss(inputs.logits, labels, unsettled, self.temperature)
