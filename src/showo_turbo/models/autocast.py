"""Tensors in the type to which autocast would cast them anyway."""

import torch
from torch import Tensor, nn


def autocast_type(device: torch.device) -> torch.dtype:
    """Autocast's type on a device; float32 where it is off."""
    if not torch.is_autocast_enabled(device.type):
        return torch.float32
    return torch.get_autocast_dtype(device.type)


def type_of_use(tensor: Tensor) -> torch.dtype:
    """The type in which attention and matrix products read a tensor."""
    return autocast_type(tensor.device) if tensor.dtype == torch.float32 else tensor.dtype


def cast_linear_layers(network: nn.Module, device: torch.device) -> None:
    """Keep weights of linear layers in autocast's type, which changes no result and halves them.

    Args:
        network: Predicts from now on, on this device and under the autocast that is on now; it
            cannot be trained any longer.
        device: Where it is going to be.
    """
    dtype = autocast_type(device)
    for part in network.modules():
        if isinstance(part, nn.Linear) and part.weight.dtype == torch.float32:
            part.to(dtype)
