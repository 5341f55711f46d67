"""Which files a pipeline loads, where it puts them, and whether they fit together."""

import math
from pathlib import Path

import torch

from ..errors import UserError
from ..models.checkpoints import (
    IMAGE_TOKENIZER_FOLDER,
    INCLUDED,
    VISION_ENCODER_FOLDER,
    resolve_folder,
)
from ..models.image_input import ImageEncoder
from ..models.magvitv2 import MAGVITv2
from ..models.model_config import token_grid, video_frames
from ..models.protocols import ImageModel, ModelConfig
from ..models.vision_encoders import CLIPFeatures, LatentFeatures, check_vision_encoder
from ..text_tokenizer import FILE_NAME, TextTokenizer

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_text_tokenizer(
    config: ModelConfig, model: str | Path, text_tokenizer: str | Path | None = None
) -> TextTokenizer | None:
    """Load a model's text tokenizer; None for a family that needs none.

    Args:
        config: The model's.
        model: Where the model came from. A `tokenizer.json` in its folder comes before what the
            configuration names.
        text_tokenizer: Comes before both.

    Raises:
        UserError: If there is none, although the family needs one.
    """
    if not config.needs_text_tokenizer:
        return None
    if text_tokenizer is not None:
        return TextTokenizer.from_pretrained(text_tokenizer)
    own = resolve_folder(model, "showo", patterns=(FILE_NAME,)) / FILE_NAME
    if own.is_file():
        return TextTokenizer.from_file(own)
    if config.tokenizer is None:
        raise UserError(
            f"model {str(model)!r} names no text tokenizer and has no {FILE_NAME}; "
            "name one with text_tokenizer"
        )
    return TextTokenizer.from_pretrained(config.tokenizer)


def check_own_text_tokenizer(
    model: str | Path, text_tokenizer: TextTokenizer, name: str | Path | None
) -> None:
    """Raise on a text tokenizer beside a model whose folder holds another one.

    Args:
        model: Where the model came from; what the hub delivers beside a model is not looked at.
        text_tokenizer: The tokenizer.
        name: What it was loaded by.

    Raises:
        UserError: If their tokens differ.
    """
    if not (Path(model).is_dir() or str(model) in INCLUDED):
        return
    folder = resolve_folder(model, "showo")
    if not (folder / FILE_NAME).is_file():
        return
    if TextTokenizer.from_file(folder / FILE_NAME).vocabulary != text_tokenizer.vocabulary:
        raise UserError(
            f"text_tokenizer is {str(name)!r}, whose tokens are not those of "
            f"{folder / FILE_NAME}, which the model was trained with; set text_tokenizer to "
            f"{str(model)!r}"
        )


def own_folder(model: str | Path, name: str) -> str | None:
    """A folder within that of a model, such as `image_tokenizer`; None if there is none."""
    own = resolve_folder(model, "showo", patterns=(f"{name}/*",)) / name
    return str(own) if own.is_dir() else None


def load_image_tokenizer(
    config: ModelConfig, model: str | Path, image_tokenizer: str | Path | None = None
) -> MAGVITv2:
    """Load a model's image tokenizer, in evaluation mode.

    Args:
        config: The model's.
        model: Where the model came from. The image tokenizer in its folder comes before what the
            configuration names.
        image_tokenizer: Comes before both.

    Raises:
        UserError: If there is none.
    """
    if image_tokenizer is not None:
        return MAGVITv2.from_pretrained(image_tokenizer)
    own = own_folder(model, IMAGE_TOKENIZER_FOLDER)
    if own is not None:
        return MAGVITv2.from_pretrained(own)
    if config.image_tokenizer is None:
        raise UserError(
            f"model {str(model)!r} names no image tokenizer and has no folder "
            f"{IMAGE_TOKENIZER_FOLDER}; name one with image_tokenizer"
        )
    return MAGVITv2.from_pretrained(config.image_tokenizer)


def own_vision_encoder(network: ImageModel, model: str | Path) -> str | None:
    """The folder of a model's vision encoder within that of the model; None if there is none.

    Args:
        network: The model.
        model: Where it came from.
    """
    if network.image_input.kind != "clip":
        return None
    return own_folder(model, VISION_ENCODER_FOLDER)


def vision_encoder_of(
    network: ImageModel, vision_encoder: CLIPFeatures | str | Path | None = None
) -> CLIPFeatures:
    """The vision encoder that a model reads images through, on the model's device.

    Args:
        network: The model.
        vision_encoder: The encoder, or its folder or hub id; what the model's configuration names
            by default.

    Raises:
        UserError: If there is none, it cannot be loaded, or its features are not those that the
            model reads.
    """
    if not isinstance(vision_encoder, CLIPFeatures):
        name = network.config.vision_encoder if vision_encoder is None else vision_encoder
        if name is None:
            raise UserError(
                "the model names no vision encoder and has no folder "
                f"{VISION_ENCODER_FOLDER}; name one with vision_encoder"
            )
        vision_encoder = CLIPFeatures.from_pretrained(name)
    check_vision_encoder(network.image_input, vision_encoder)
    return vision_encoder.to(network.device)


def image_encoder_of(
    network: ImageModel,
    image_tokenizer: MAGVITv2,
    vision_encoder: CLIPFeatures | str | Path | None = None,
) -> ImageEncoder:
    """What encodes the images that a model is asked about.

    Args:
        network: The model.
        image_tokenizer: Its image tokenizer.
        vision_encoder: Its vision encoder, if it reads images through one; see `vision_encoder_of`.

    Raises:
        UserError: If a vision encoder cannot be loaded, or is another's.
    """
    kind = network.image_input.kind
    if kind == "codes":
        return image_tokenizer
    if kind == "latents":
        return LatentFeatures(image_tokenizer).eval()
    return vision_encoder_of(network, vision_encoder)


def check_fit(
    network: ImageModel, image_tokenizer: MAGVITv2, text_tokenizer: TextTokenizer | None
) -> None:
    """Raise on networks that do not belong together.

    Raises:
        UserError: Naming what differs.
    """
    config = network.config
    codes = image_tokenizer.config.codebook_size
    if codes != config.codebook_size:
        raise UserError(
            f"the image tokenizer has {codes} codes, the model {config.codebook_size}; "
            "name the image tokenizer that the model was trained with"
        )
    if math.prod(token_grid(config)) != config.image_tokens:
        raise UserError(
            f"the model has {config.image_tokens} image tokens; expected those of a square image, "
            "restore its config.json"
        )
    if video_frames(config) and not image_tokenizer.config.temporal_halvings:
        raise UserError(
            "the model generates clips, but the image tokenizer takes images alone; name one of "
            "clips, such as showo-turbo inflate makes"
        )
    if text_tokenizer is None:
        if config.needs_text_tokenizer:
            raise UserError("the model needs a text tokenizer; name one with text_tokenizer")
        return
    if text_tokenizer.size > config.text_vocabulary_size:
        raise UserError(
            f"the text tokenizer has {text_tokenizer.size} tokens, the model only "
            f"{config.text_vocabulary_size}; name the text tokenizer that it was trained with"
        )
    if text_tokenizer.eos_id != config.eos_id:
        raise UserError(
            f"the text tokenizer ends texts with id {text_tokenizer.eos_id}, the model with "
            f"{config.eos_id}; name the text tokenizer that it was trained with"
        )


def image_side(network: ImageModel, image_tokenizer: MAGVITv2) -> int:
    """Side length in pixels of the images that a model generates and reads."""
    return token_grid(network.config)[-1] * image_tokenizer.config.patch_size


def choose_device(device: str | torch.device | None) -> torch.device:
    """The device that was asked for, else a GPU if there is one, else the CPU.

    Raises:
        UserError: If there is no such device.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:  # the latter where PyTorch has no CUDA
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"device {str(device)!r} cannot be used ({reason}); choose 'cpu', or "
            "a device that this machine and this PyTorch have"
        ) from None
    return chosen


def choose_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """The floating-point type of the transformer's weights.

    Raises:
        UserError: If it is not float32, bfloat16 or float16.
    """
    chosen = _DTYPES.get(dtype) if not isinstance(dtype, torch.dtype) else dtype
    if chosen is None or chosen not in _DTYPES.values():
        raise UserError(f"dtype is {str(dtype)!r}; choose {', '.join(_DTYPES)}")
    return chosen
