"""Loss terms: pure functions of logits and targets, and objects over them for YAML."""

from .consistency import image_consistency, masked_kl, text_consistency
from .language_model import IGNORED, language_model_loss, token_cross_entropy
from .reduction import LossValue
from .regularizers import image_cross_entropy, image_regularizer, text_regularizer
from .term import LossTerm
from .terms import (
    ImageConsistency,
    ImageCrossEntropy,
    ImageRegularizer,
    LanguageModelLoss,
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
    "TextConsistency",
    "TextRegularizer",
    "image_consistency",
    "image_cross_entropy",
    "image_regularizer",
    "language_model_loss",
    "masked_kl",
    "published_losses",
    "text_consistency",
    "text_regularizer",
    "token_cross_entropy",
]
