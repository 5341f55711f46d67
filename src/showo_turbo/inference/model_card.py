"""Short model cards of the networks that are written."""

from collections.abc import Mapping
from pathlib import Path

import torch

from ..models.magvitv2 import MAGVITv2Config
from ..models.protocols import ImageModel, ModelConfig, TextModel
from ..utils.files import write_text

CARD_FILE = "README.md"


def model_card(
    kind: type[ImageModel],
    config: ModelConfig,
    origin: Mapping[str, object],
    dtype: torch.dtype = torch.float32,
) -> str:
    """The card of a model.

    Args:
        kind: Its family.
        config: Its sizes.
        origin: Where the weights come from, such as the number of optimizer steps.
        dtype: How the weights are stored.
    """
    sizes = {
        "image tokens": "image_tokens",
        "codebook": "codebook_size",
        "text tokens": "text_vocabulary_size",
        "layers": "layers",
        "width": "hidden_size",
        "heads": "heads",
    }
    known = {title: getattr(config, name, None) for title, name in sizes.items()}
    rows = {title: f"{size:,}" for title, size in known.items() if size is not None}
    answers = " and answers questions about them" if issubclass(kind, TextModel) else ""
    return (
        "---\nlibrary_name: showo-turbo\npipeline_tag: text-to-image\n---\n"
        f"# {kind.__name__}, trained with showo-turbo\n\n"
        f"A {kind.__name__} network that generates images{answers}.\n\n"
        '```\nshowo-turbo generate "a red circle" --output images --model <this folder>\n```\n\n'
    ) + _table(rows, origin, dtype)


def image_tokenizer_card(
    config: MAGVITv2Config, origin: Mapping[str, object], dtype: torch.dtype = torch.float32
) -> str:
    """The card of a MAGVIT-v2; arguments as in `model_card`."""
    rows = {
        "codes": f"{config.codebook_size:,}",
        "pixels a code": f"{config.patch_size} x {config.patch_size}",
        "width": config.channels,
    }
    return (
        "---\nlibrary_name: showo-turbo\n---\n"
        "# MAGVIT-v2, trained with showo-turbo\n\n"
        "An image tokenizer: pixels to codes and back. It goes wherever `image_tokenizer` is asked "
        "for.\n\n"
    ) + _table(rows, origin, dtype)


def write_card(folder: Path, card: str) -> None:
    """Write a card into a model's folder, atomically."""
    write_text(folder / CARD_FILE, card)


def _table(rows: Mapping[str, object], origin: Mapping[str, object], dtype: torch.dtype) -> str:
    """The sizes, and where the weights come from."""
    stored = {"stored as": str(dtype).removeprefix("torch.")}
    lines = [f"| {name} | {value} |" for name, value in {**rows, **stored, **origin}.items()]
    return "\n".join(["| | |", "|---|---|", *lines]) + "\n"
