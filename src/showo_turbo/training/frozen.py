"""Submodules that belong to a LightningModule but not to its checkpoints."""

from typing import Any

import torch
from torch import nn


def freeze(module: nn.Module) -> nn.Module:
    """Put a module into eval mode for good and take its parameters out of training."""
    module.requires_grad_(False)
    module.eval()
    module.train = lambda mode=True: module  # type: ignore[method-assign]
    return module


def exclude_from_checkpoints(owner: nn.Module, prefix: str) -> None:
    """Keep a submodule's weights out of `owner`'s state dict, and forgive their absence on load.

    Loading stays strict for everything else.

    Args:
        owner: Module whose state dict is saved.
        prefix: Name of the submodule.
    """
    start = f"{prefix}."

    def drop(module: nn.Module, state: dict[str, Any], outer: str, _: dict[str, Any]) -> None:
        for key in [key for key in state if key.startswith(outer + start)]:
            del state[key]

    def forgive(_: nn.Module, incompatible: Any) -> None:
        incompatible.missing_keys[:] = [
            key for key in incompatible.missing_keys if not key.startswith(start)
        ]

    owner.register_state_dict_post_hook(drop)
    owner.register_load_state_dict_post_hook(forgive)


def learnable(module: nn.Module) -> list[nn.Parameter]:
    """Parameters that an optimizer should see."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def count_parameters(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


@torch.no_grad()
def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Make `target`'s weights equal to `source`'s."""
    target.load_state_dict(source.state_dict())
