"""What loggers get of a configuration, and what is left of a run that was refused."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_warn

from ..errors import UserError
from ..utils.dotted_keys import flatten

_RATES = ("lr", "max_lr", "learning_rate")
"""How the options that set learning rates are called."""


class LoggedConfig(SaveConfigCallback):
    """Writes `config.yaml` as Lightning does, and gives the loggers the same, key by key.

    Says which learning rates of a configuration are not those that a resumed run goes on with.

    Attributes:
        begun: Whether the run has trained or measured anything.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.begun = False
        self._rates_before: dict[str, float] = {}

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Log the configuration as hyper-parameters, by dotted keys."""
        for logger in trainer.loggers:
            logger.log_hyperparams(self._values)

    def state_dict(self) -> dict[str, Any]:
        """The learning rates that the run was begun with, by their keys."""
        return {"rates": self._rates() | self._rates_before}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take in the learning rates that the run was begun with."""
        self._rates_before = state_dict["rates"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that the run begins, and say which learning rates it does not take."""
        self.begun = True
        changed = [
            f"{key} is {rate:g} instead of {self._rates_before[key]:g}"
            for key, rate in self._rates().items()
            if self._rates_before.get(key, rate) != rate
        ]
        if changed:
            rank_zero_warn(
                f"{', '.join(changed)}: the optimizer goes on with the learning rate of the "
                "checkpoint, and only stages that begin from now on take a new one; to change it, "
                "begin a new run from the exported model"
            )

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that the run measures."""
        self.begun = True

    on_test_start = on_predict_start = on_validation_start

    def _rates(self) -> dict[str, float]:
        """The learning rates of the configuration, by their keys."""
        return {
            key: float(value)
            for key, value in self._values.items()
            if key.rpartition(".")[2] in _RATES and _is_number(value)
        }

    @cached_property
    def _values(self) -> dict[str, Any]:
        """The configuration by dotted keys, without what is null."""
        config: dict[str, Any] = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        return {name: value for name, value in flatten(config).items() if value is not None}


@contextmanager
def no_logs_of_refused_runs(trainer: Trainer) -> Iterator[None]:
    """Remove the folders that loggers have made for a run that a `UserError` ends at once.

    Args:
        trainer: Its loggers make folders before anything is checked.
    """
    places = [getattr(logger, "log_dir", None) for logger in trainer.loggers]
    new = [Path(place) for place in places if isinstance(place, str) and not Path(place).exists()]
    try:
        yield
    except UserError:
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        begun = any(isinstance(entry, LoggedConfig) and entry.begun for entry in callbacks)
        if trainer.is_global_zero and not begun:
            for folder in new:
                shutil.rmtree(folder, ignore_errors=True)
                with suppress(OSError):  # such as lightning_logs, where it holds nothing else
                    folder.parent.rmdir()
        raise


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
