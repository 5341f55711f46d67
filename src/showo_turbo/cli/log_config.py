"""Every logger gets the whole configuration of a run."""

from typing import Any

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from ..utils.dotted_keys import flatten


class LoggedConfig(SaveConfigCallback):
    """Writes `config.yaml` as Lightning does, and gives the loggers the same, key by key."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Log the configuration as hyper-parameters, by dotted keys."""
        config: dict[str, Any] = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        values = {name: value for name, value in flatten(config).items() if value is not None}
        for logger in trainer.loggers:
            logger.log_hyperparams(values)
