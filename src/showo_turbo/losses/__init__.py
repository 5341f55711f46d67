"""Loss terms: pure functions of logits and targets, and objects over them for YAML."""

from .consistency import image_consistency, masked_kl, text_consistency
from .language_model import IGNORED, language_model_loss, token_cross_entropy
from .masked_text import masked_text_loss
from .reduction import LossValue
from .regularizers import image_cross_entropy, image_regularizer, text_regularizer
from .term import LossTerm
from .terms import (
    ImageConsistency,
    ImageCrossEntropy,
    ImageRegularizer,
    LanguageModelLoss,
    MaskedTextLoss,
    TextConsistency,
    TextRegularizer,
    published_losses,
)

__all__ = [
    "IGNORED",
    "ImageConsistency",
    "ImageCrossEntropy",
    "ImageRegularizer",
    "LanguageModelLoss",
    "LossTerm",
    "LossValue",
    "MaskedTextLoss",
    "TextConsistency",
    "TextRegularizer",
    "image_consistency",
    "image_cross_entropy",
    "image_regularizer",
    "language_model_loss",
    "masked_kl",
    "masked_text_loss",
    "published_losses",
    "text_consistency",
    "text_regularizer",
    "token_cross_entropy",
]
