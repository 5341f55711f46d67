"""`showo-turbo export`: a training checkpoint becomes a model folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from ..files import write_atomically
from ..models.checkpoints import describe_misfits, load_weights_only, save_checkpoint
from ..models.lora import merge_lora
from ..models.showo import Showo, ShowoConfig
from ..pipeline.loading import load_showo_config, load_text_tokenizer
from ..text_tokenizer import FILE_NAME, TextTokenizer
from .command_line import run_function

_PREFIXES = ("student.", "model.")
"""Where ShowoTurbo and PretrainShowo keep the network."""

CONFIG_KEY = "showo_config"
"""Where their checkpoints keep its sizes."""

CARD_FILE = "README.md"


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(export, arguments, name="export")


def export(
    checkpoint: Path,
    output: Path,
    config_from: str | None = None,
    text_tokenizer: str | None = None,
    half: bool = False,
    card: bool = True,
    overwrite: bool = False,
) -> None:
    """Write the network of a training checkpoint as a model folder.

    The folder has the released layout and goes wherever a model id is taken. It holds
    `config.json`, `pytorch_model.safetensors`, and `tokenizer.json` if the configuration names no
    text tokenizer.

    Args:
        checkpoint: A `.ckpt` file of ShowoTurbo, whose student is written, or of PretrainShowo.
        output: The model folder to write.
        config_from: Model that has the network's sizes, if the checkpoint does not hold them:
            `shapes`, a folder or a hub id.
        text_tokenizer: Text tokenizer to copy into the folder: `shapes`, a folder, a file or a hub
            id; by default the one of `config_from`, if the configuration names none.
        half: Store the weights in half precision, in half the space; they load in float32.
        card: Write a model card, `README.md`, with the sizes and where the weights come from.
        overwrite: Replace the model that is in the folder.
    """
    if (output / "config.json").exists() and not overwrite:
        raise UserError(f"{output} holds a model; name another folder, or overwrite it")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file; name a folder for the model")
    content = _read_checkpoint(checkpoint)
    state = _network_state(content["state_dict"], checkpoint)
    config = _config(content, checkpoint, config_from)
    with torch.device("meta"):
        expected = Showo(config).state_dict()
    if misfits := describe_misfits(expected, state):
        raise UserError(f"the network in {checkpoint} does not fit its configuration: {misfits}")
    tokenizer = _text_tokenizer(config, config_from, text_tokenizer)
    dtype = torch.float16 if half else torch.float32
    weights = {key: value.to(dtype) for key, value in state.items()}
    if half and any(not value.isfinite().all() for value in weights.values()):
        raise UserError("some weights are too large for half precision; export without --half")
    if tokenizer is not None:
        with write_atomically(output / FILE_NAME) as temporary:
            temporary.write_text(tokenizer.tokenizer.to_str(), encoding="utf-8")
    if card:
        with write_atomically(output / CARD_FILE) as temporary:
            temporary.write_text(_card(content, checkpoint, config, dtype), encoding="utf-8")
    save_checkpoint(output, weights, config.to_dict())
    print(f"{sum(value.numel() for value in state.values()):,} parameters written to {output}")


def _read_checkpoint(path: Path) -> dict[str, Any]:
    if path.is_dir():
        raise UserError(
            f"{path} is a sharded checkpoint; make it one file first, with "
            f"`python -m lightning.pytorch.utilities.consolidate_checkpoint {path}`"
        )
    if not path.is_file():
        raise UserError(f"{path} does not exist; expected a checkpoint of training")
    content = load_weights_only(path)
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise UserError(f"{path} has no state_dict; expected a checkpoint of training")
    return content


def _network_state(state: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """The network's own part of a module's state dict, with adapters merged."""
    for prefix in _PREFIXES:
        found = {
            key.removeprefix(prefix): value
            for key, value in state.items()
            if key.startswith(f"{prefix}showo.") and isinstance(value, Tensor)
        }
        if found:
            return merge_lora(found)
    raise UserError(
        f"{path} holds no Show-o; expected a checkpoint of ShowoTurbo or PretrainShowo, whose keys "
        f"begin with {' or '.join(f'{prefix}showo.' for prefix in _PREFIXES)}"
    )


def _config(content: Mapping[str, Any], path: Path, config_from: str | None) -> ShowoConfig:
    if config_from is not None:
        return load_showo_config(config_from)
    values = content.get(CONFIG_KEY)
    if not isinstance(values, dict):
        raise UserError(
            f"{path} does not hold the network's sizes; name a model that has them with "
            "--config_from"
        )
    try:
        return ShowoConfig.from_dict(values)
    except UserError as error:
        raise UserError(f"{path} holds wrong sizes: {error}") from None


def _text_tokenizer(
    config: ShowoConfig, config_from: str | None, text_tokenizer: str | None
) -> TextTokenizer | None:
    """The text tokenizer to copy, unless the configuration names the one to use."""
    if text_tokenizer is None and config.tokenizer is not None:
        return None
    if text_tokenizer is None and config_from is None:
        raise UserError(
            "the configuration names no text tokenizer; name the one that the model was trained "
            "with, such as --text_tokenizer shapes"
        )
    return load_text_tokenizer(config, config_from or "", text_tokenizer)


def _card(
    content: Mapping[str, Any], checkpoint: Path, config: ShowoConfig, dtype: torch.dtype
) -> str:
    """A short model card."""
    rows = {
        "image tokens": f"{config.image_tokens:,}",
        "codebook": f"{config.codebook_size:,}",
        "text tokens": f"{config.text_vocabulary_size:,}",
        "layers": config.layers,
        "width": config.hidden_size,
        "heads": config.heads,
        "stored as": str(dtype).removeprefix("torch."),
        "checkpoint": checkpoint.name,
        "optimizer steps": content.get("global_step", "unknown"),
        "epochs": content.get("epoch", "unknown"),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return (
        "---\nlibrary_name: showo-turbo\npipeline_tag: text-to-image\n---\n"
        "# Show-o, distilled with showo-turbo\n\n"
        "A Show-o transformer that draws images and answers questions about them.\n\n"
        '```\nshowo-turbo generate "a red circle" --output images --model <this folder> --steps 4\n'
        "```\n\n"
        f"| | |\n|---|---|\n{table}\n"
    )
