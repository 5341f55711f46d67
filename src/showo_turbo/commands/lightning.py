"""`fit`, `validate`, `test` and `predict`: LightningCLI over our modules and DataModules."""

from collections.abc import Sequence

from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningCLI

# Imported so that YAML files can name these classes without their modules.
from .. import callbacks as _callbacks  # noqa: F401
from .. import data as _data  # noqa: F401
from .. import training as _training  # noqa: F401


def run_lightning(arguments: Sequence[str]) -> LightningCLI:
    """Parse a `fit`, `validate`, `test` or `predict` command line and run it."""
    return LightningCLI(
        LightningModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        auto_configure_optimizers=False,
        save_config_kwargs={"overwrite": True},
        parser_kwargs={"prog": "showo-turbo"},
        args=list(arguments),
    )
