"""What `load_from_checkpoint` builds a module from."""

from typing import Any

from lightning.pytorch import LightningModule

_INSTANTIATOR = "lightning.pytorch.cli.instantiate_module"
"""Builds a class from plain values, as a YAML file does; Lightning trusts it by this name."""


def note_arguments(module: LightningModule, checkpoint: dict[str, Any], **arguments: Any) -> None:
    """Add the arguments that a module's networks are built from to a checkpoint.

    `<Module>.load_from_checkpoint(path)` then needs no others. How the module is trained is not
    among them: that is the configuration's.

    Args:
        module: The module.
        checkpoint: What is saved.
        **arguments: By name, as plain values, since checkpoints hold nothing else.
    """
    checkpoint[module.CHECKPOINT_HYPER_PARAMS_KEY] = {"_instantiator": _INSTANTIATOR, **arguments}
