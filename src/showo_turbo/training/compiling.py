"""Training with compiled layers and kernels."""

from typing import Any

import torch

from ..errors import UserError
from ..models.protocols import ImageModel

_VARIANTS = 64
"""Ways of calling a layer, or FlexAttention, that are compiled at most, such as with and without
gradients, or with and without branches."""


def compile_layers(network: ImageModel, **options: Any) -> None:
    """Compile the layers of a network, each for sequences of any length.

    What is between the layers, such as embeddings and the output head, stays as it is.

    Args:
        network: Names its layers as `lora_layers`.
        options: For `torch.compile`.

    Raises:
        UserError: If the family names no layers.
    """
    _allow_variants()
    for layer in network.lora_layers()[0].children():
        layer.compile(dynamic=True, **options)


def prepare_flex_attention(device: torch.device) -> None:
    """Make ready to train with FlexAttention, which compiles itself.

    Raises:
        UserError: If the device cannot, naming it.
    """
    if device.type != "cuda":
        raise UserError(
            f"flex_attention has no backward pass on the device {device.type}; expected a GPU of "
            "NVIDIA or AMD, leave it out"
        )
    _allow_variants()


def _allow_variants() -> None:
    torch._dynamo.config.recompile_limit = max(_VARIANTS, torch._dynamo.config.recompile_limit)
