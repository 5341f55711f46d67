"""Which files a pipeline loads, where it puts them, and whether they fit together."""

import math
from pathlib import Path

import torch

from ..errors import UserError
from ..models.checkpoints import IMAGE_TOKENIZER_FOLDER, resolve_folder
from ..models.magvitv2 import MAGVITv2
from ..models.protocols import ImageModel, ModelConfig
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
    inside = f"{IMAGE_TOKENIZER_FOLDER}/*"
    own = resolve_folder(model, "showo", patterns=(inside,)) / IMAGE_TOKENIZER_FOLDER
    if own.is_dir():
        return MAGVITv2.from_pretrained(own)
    if config.image_tokenizer is None:
        raise UserError(
            f"model {str(model)!r} names no image tokenizer and has no folder "
            f"{IMAGE_TOKENIZER_FOLDER}; name one with image_tokenizer"
        )
    return MAGVITv2.from_pretrained(config.image_tokenizer)


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
    if math.isqrt(config.image_tokens) ** 2 != config.image_tokens:
        raise UserError(
            f"the model has {config.image_tokens} image tokens; expected those of a square image, "
            "restore its config.json"
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
    """Side length in pixels of the images that a model draws and reads."""
    return math.isqrt(network.config.image_tokens) * image_tokenizer.config.patch_size


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
