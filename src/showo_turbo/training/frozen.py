"""Submodules that belong to a LightningModule but not to its checkpoints."""

from types import MethodType
from typing import Any

from torch import nn


def freeze(module: nn.Module) -> nn.Module:
    """Put a module into eval mode for good and take its parameters out of training."""
    module.requires_grad_(False)
    module.eval()
    # A method, and no closure over `module`, so that a deep copy keeps itself in eval mode.
    module.train = MethodType(_stay, module)  # type: ignore[method-assign]
    return module


def _stay(module: nn.Module, mode: bool = True) -> nn.Module:
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
        # Keys count from the outermost module, which may hold `owner`, as an average of it does.
        incompatible.missing_keys[:] = [
            key for key in incompatible.missing_keys if f".{start}" not in f".{key}"
        ]

    owner.register_state_dict_post_hook(drop)
    owner.register_load_state_dict_post_hook(forgive)
