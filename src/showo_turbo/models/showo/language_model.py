"""A Show-o that starts from a language model: Phi-1.5, as released, or another of its kind."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import UserError, shown
from ..checkpoints import check_finite, describe_misfits, read_config, resolve_folder
from ..weight_files import load_state
from .config import ShowoConfig
from .network import Showo

_SIZES = {
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "max_position_embeddings": "max_position_embeddings",
}
"""What a `ShowoConfig` takes from the `config.json` of a Phi."""

_TABLES = ("model.embed_tokens.weight", "lm_head.weight", "lm_head.bias")
"""Weights that have a row a token."""

_QK_NORM = re.compile(r"showo\.model\.layers\.\d+\.self_attn\.[qk]_layernorm\.(weight|bias)")
_STANDARD_DEVIATION = 0.02
"""Of new rows, as transformers draws the weights of a Phi."""

_ACTIVATIONS = ("gelu_new", "gelu_pytorch_tanh")
"""One function under two names, that of a Show-o."""

_ROTARY_BASE = 10_000.0
"""Of the angles of rotary position embedding, as in Phi-1.5 and in Show-o."""


def start_from_phi(model: str | Path, sizes: ShowoConfig) -> Showo:
    """A Show-o with the weights of a Phi.

    Text tokens keep their rows of the embedding and of the output head. The rows of what a language
    model does not know (special tokens, image codes, the mask) are drawn at random, and the
    normalization of queries and keys, which Phi-1.5 has not, begins without scale and shift.

    Args:
        model: Folder or hub id of the Phi, such as `microsoft/phi-1_5`.
        sizes: What does not follow from it: the vocabulary, the tokens an image, and the like.

    Raises:
        UserError: If there is no Phi, its weights do not fit its `config.json`, or it has fewer
            text tokens than the sizes say.

    Source: Show-o (arXiv 2408.12528), section 3.2, which starts from Phi-1.5 (arXiv 2309.05463).
    """
    folder = resolve_folder(model, "showo")
    values = read_config(folder)
    if values.get("model_type") != "phi":
        raise UserError(
            f"{folder / 'config.json'} is of the model type {shown(values.get('model_type'))}; "
            "expected phi, such as microsoft/phi-1_5, name another language model"
        )
    _check_layers(values, folder)
    config = replace(sizes, partial_rotary_factor=_rotary(values, folder), **_known(values))
    network = Showo(config)
    state = {f"showo.{key}": value.float() for key, value in load_state(folder).items()}
    check_finite(state, f"the weights in {folder}")
    expected = network.state_dict()
    started = {key: value for key, value in expected.items() if _QK_NORM.fullmatch(key)} | state
    for name in _TABLES:
        key = f"showo.{name}"
        if key in started:
            started[key] = _extended(started[key], expected[key], config, folder)
    started = {key: value for key, value in started.items() if not key.endswith("inv_freq")}
    if misfits := describe_misfits(expected, started):
        raise UserError(
            f"the weights in {folder} do not fit its config.json: {misfits}; restore both from "
            "where they come from"
        )
    network.load_state_dict(started)
    return network


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes of a Phi by our names."""
    return {
        name: values[theirs] for name, theirs in _SIZES.items() if values.get(theirs) is not None
    }


def _check_layers(values: Mapping[str, Any], folder: Path) -> None:
    """Raise if the layers of a Phi compute what those of a Show-o do not.

    Raises:
        UserError: Naming what differs.
    """
    expected: dict[str, tuple[Any, ...]] = {
        "hidden_act": _ACTIVATIONS,
        "layer_norm_eps": (1e-5,),
        "rope_scaling": (None,),
    }
    for name, allowed in expected.items():
        found = values.get(name, allowed[0])
        if found not in allowed:
            raise UserError(
                f"{folder / 'config.json'} has {name} {shown(found)}; expected "
                f"{shown(allowed[0])}, as in Phi-1.5, name another language model"
            )


def _rotary(values: Mapping[str, Any], folder: Path) -> float:
    """The share of each head's dimensions that rotate.

    Newer files have what describes the rotation under `rope_parameters`.

    Raises:
        UserError: If they rotate by other angles than a Show-o's do.
    """
    parameters = values.get("rope_parameters")
    of_rotation = {**values, **(parameters if isinstance(parameters, dict) else {})}
    base = of_rotation.get("rope_theta", _ROTARY_BASE)
    if base != _ROTARY_BASE:
        raise UserError(
            f"{folder / 'config.json'} has rope_theta {shown(base)}; expected {_ROTARY_BASE:,.0f}, "
            "with which a Show-o rotates, name another language model"
        )
    factor: float = of_rotation.get("partial_rotary_factor", 0.5)
    return factor


def _extended(own: Tensor, rows: Tensor, config: ShowoConfig, folder: Path) -> Tensor:
    """A table with the rows of text tokens, and new ones for all others.

    Args:
        own: The Phi's, which may have rows that stand for no token.
        rows: A table of the shape that is wanted.
        config: Knows how many text tokens there are.
        folder: Where it is from.

    Raises:
        UserError: If it has fewer rows than there are text tokens.
    """
    count = config.text_vocabulary_size
    if len(own) < count:
        raise UserError(
            f"the language model in {folder} has {len(own)} tokens, the text tokenizer {count}; "
            "name the text tokenizer that goes with it"
        )
    new = torch.zeros_like(rows)
    if rows.ndim > 1:
        new.normal_(std=_STANDARD_DEVIATION)
    new[:count] = own[:count]
    return new
