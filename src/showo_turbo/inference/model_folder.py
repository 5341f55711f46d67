"""Model folders that need nothing beside them, so that they can be moved and shared."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..models.checkpoints import (
    IMAGE_TOKENIZER_FOLDER,
    VISION_ENCODER_FOLDER,
    save_checkpoint,
    without_folders,
)
from ..models.magvitv2 import MAGVITv2
from ..models.protocols import ModelConfig
from ..models.vision_encoders import CLIPFeatures
from ..sampling.image_sampling import ImageSampling
from ..sampling.text_decoding import TextDecoding
from ..text_tokenizer import FILE_NAME, TextTokenizer
from .generation_config import save_generation_config
from .model_card import write_card


def write_model_folder(
    folder: Path,
    state: Mapping[str, Tensor],
    config: ModelConfig,
    *,
    image_tokenizer: MAGVITv2 | None = None,
    text_tokenizer: TextTokenizer | None = None,
    vision_encoder: CLIPFeatures | None = None,
    sampling: ImageSampling | None = None,
    decoding: TextDecoding | None = None,
    card: str | None = None,
) -> None:
    """Write a model with all that belongs to it, each file atomically, `config.json` last.

    The configuration keeps the names of tokenizers and of a vision encoder, but for those of
    folders on this machine.

    Args:
        folder: The model's.
        state: Weights by the released keys.
        config: Sizes.
        image_tokenizer: Goes into the folder `image_tokenizer`; left out if None, like all that
            follows.
        text_tokenizer: Goes into `tokenizer.json`.
        vision_encoder: Goes into the folder `vision_encoder`.
        sampling: Recommended for the model, in `generation_config.json`.
        decoding: Likewise.
        card: The model card, in `README.md`.
    """
    if image_tokenizer is not None:
        image_tokenizer.save_pretrained(folder / IMAGE_TOKENIZER_FOLDER)
    if text_tokenizer is not None:
        text_tokenizer.save(folder / FILE_NAME)
    if vision_encoder is not None:
        vision_encoder.save_pretrained(folder / VISION_ENCODER_FOLDER)
    if sampling is not None or decoding is not None:
        save_generation_config(folder, sampling, decoding)
    if card is not None:
        write_card(folder, card)
    names = [config.image_tokenizer, config.tokenizer, getattr(config, "vision_encoder", None)]
    save_checkpoint(folder, state, without_folders(config.to_dict(), names))
