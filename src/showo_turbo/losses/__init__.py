"""Loss terms as pure functions of logits and targets."""

from .consistency import image_consistency, masked_kl, text_consistency
from .language_model import IGNORED, language_model_loss, token_cross_entropy
from .reduction import LossValue
from .regularizers import image_regularizer, text_regularizer

__all__ = [
    "IGNORED",
    "LossValue",
    "image_consistency",
    "image_regularizer",
    "language_model_loss",
    "masked_kl",
    "text_consistency",
    "text_regularizer",
    "token_cross_entropy",
]
