"""Loss terms: pure functions of logits and targets, and objects over them for YAML."""

from .certainty import Certainty, certainty_loss
from .chained import ChainedTextConsistency, counted_in_chains
from .consistency import image_consistency, masked_kl, text_consistency
from .distribution_matching import (
    DistributionMatching,
    distribution_matching_loss,
    matching_gradient,
)
from .draft_and_correct import DraftAndCorrect, draft_and_correct_loss
from .guidance_distillation import GuidanceDistillation, guidance_distillation_loss
from .language_model import IGNORED, language_model_loss, token_cross_entropy
from .masked_text import masked_text_loss
from .reduction import LossValue
from .regularizers import image_cross_entropy, image_regularizer, text_regularizer
from .self_correction import SelfCorrection, self_correction_loss
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
    "Certainty",
    "ChainedTextConsistency",
    "DistributionMatching",
    "DraftAndCorrect",
    "GuidanceDistillation",
    "ImageConsistency",
    "ImageCrossEntropy",
    "ImageRegularizer",
    "LanguageModelLoss",
    "LossTerm",
    "LossValue",
    "MaskedTextLoss",
    "SelfCorrection",
    "TextConsistency",
    "TextRegularizer",
    "certainty_loss",
    "counted_in_chains",
    "distribution_matching_loss",
    "draft_and_correct_loss",
    "guidance_distillation_loss",
    "image_consistency",
    "image_cross_entropy",
    "image_regularizer",
    "language_model_loss",
    "masked_kl",
    "masked_text_loss",
    "matching_gradient",
    "published_losses",
    "self_correction_loss",
    "text_consistency",
    "text_regularizer",
    "token_cross_entropy",
]
