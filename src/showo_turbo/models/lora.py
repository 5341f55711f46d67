"""Merging low-rank adapters into the weights that they adapt."""

from collections.abc import Mapping

import torch
from torch import Tensor

BASE, FIRST, SECOND = ".base_layer.", ".lora_A.default.weight", ".lora_B.default.weight"

SCALING = "lora_scaling"
"""Name of the factor of the adapters, kept above them, so that a state dict tells all by itself."""


def merge_lora(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the state dict of a network without adapters that computes the same.

    An adapted layer has the weight W + s B A, with W under `<layer>.base_layer.weight`, A of shape
    `(rank, inputs)` under `<layer>.lora_A.default.weight` and B of shape `(outputs, rank)` under
    `<layer>.lora_B.default.weight`.

    Args:
        state: State dict of a network; one without adapters is given back as it is.

    Source: LoRA (arXiv 2106.09685), equation 3; the names are those of `peft`.
    """
    merged: dict[str, Tensor] = {}
    scaling = next((value.float() for key, value in state.items() if _is_scaling(key)), None)
    for key, value in state.items():
        if _is_scaling(key) or key.endswith((FIRST, SECOND)):
            continue
        layer, _, rest = key.partition(BASE)
        if rest == "weight":
            first, second = state[layer + FIRST].float(), state[layer + SECOND].float()
            assert scaling is not None  # kept with the adapters
            change = scaling * torch.matmul(second, first)
            value = (value.float() + change).to(value.dtype)
        merged[f"{layer}.{rest}" if rest else key] = value
    return merged


def _is_scaling(key: str) -> bool:
    return key.rpartition(".")[2] == SCALING
