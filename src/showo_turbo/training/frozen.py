"""Submodules that belong to a LightningModule but not to its checkpoints."""

from types import MethodType
from typing import Any

from lightning.pytorch.strategies import FSDPStrategy
from torch import nn

from ..utils.lightning_internals import trainer_of


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

    Loading stays strict for everything else. FSDP insists on whole state dicts: there, take the
    weights out of the checkpoint with `drop_excluded`.

    Args:
        owner: Module whose state dict is saved.
        prefix: Name of the submodule.
    """
    start = f"{prefix}."

    def drop(module: nn.Module, state: dict[str, Any], outer: str, _: dict[str, Any]) -> None:
        if _is_under_fsdp(module):
            return
        for key in [key for key in state if key.startswith(outer + start)]:
            del state[key]

    def forgive(_: nn.Module, incompatible: Any) -> None:
        # Keys count from the outermost module, which may hold `owner`, as an average of it does.
        incompatible.missing_keys[:] = [
            key for key in incompatible.missing_keys if f".{start}" not in f".{key}"
        ]

    owner.__dict__.setdefault("_excluded", []).append(start)
    owner.register_state_dict_post_hook(drop)
    owner.register_load_state_dict_post_hook(forgive)


def drop_excluded(owner: nn.Module, state: dict[str, Any]) -> None:
    """Take the weights of `owner`'s excluded submodules out of its gathered state dict."""
    excluded = tuple(owner.__dict__.get("_excluded", ()))
    for key in [key for key in state if key.startswith(excluded)]:
        del state[key]


def _is_under_fsdp(module: nn.Module) -> bool:
    trainer = trainer_of(module)
    return trainer is not None and isinstance(trainer.strategy, FSDPStrategy)
