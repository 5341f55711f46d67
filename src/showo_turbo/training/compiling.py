"""Training with compiled layers and kernels."""

from typing import Any

import torch

from ..errors import UserError
from ..models.protocols import ImageModel

_VARIANTS = 64
"""Ways of calling a layer that are compiled at most, such as with and without gradients."""


def compile_layers(network: ImageModel, **options: Any) -> None:
    """Compile the layers of a network, each for sequences of any length.

    What is between the layers, such as embeddings and the output head, stays as it is.

    Args:
        network: Names its layers as `lora_layers`.
        options: For `torch.compile`.

    Raises:
        UserError: If the family names no layers.
    """
    torch._dynamo.config.recompile_limit = max(_VARIANTS, torch._dynamo.config.recompile_limit)
    for layer in network.lora_layers()[0].children():
        layer.compile(dynamic=True, **options)


def check_flex_attention(device: torch.device) -> None:
    """Raise if a device cannot train with FlexAttention.

    Raises:
        UserError: Naming the device.
    """
    if device.type != "cuda":
        raise UserError(
            f"flex_attention has no backward pass on the device {device.type}; expected a GPU of "
            "NVIDIA or AMD, leave it out"
        )
