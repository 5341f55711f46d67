"""What the package uses of Lightning beside its public interface, all of it in this file.

A new version of Lightning may rename any of it: `PRIVATE` lists the names for a test, and setup.cfg
bounds the versions to those that it was tried with.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.trainer.connectors import (
    checkpoint_connector,
    signal_connector,
)
from lightning.pytorch.trainer.connectors.logger_connector import logger_connector
from torch import nn

from .files import replace_link

PRIVATE: dict[Callable[..., Any], tuple[str, ...]] = {
    LightningCLI: (
        "_get",
        "_parse_ckpt_path",
        "_prepare_subcommand_parser",
        "_run_subcommand",
        "_set_seed",
    ),
    LightningModule: ("_trainer",),
    ModelCheckpoint: (
        "_every_n_train_steps",
        "_last_checkpoint_saved",
        "_link_checkpoint",
        "_monitor_candidates",
        "_remove_checkpoint",
        "_save_last_checkpoint",
        "_save_topk_checkpoint",
        "_should_skip_saving_checkpoint",
    ),
    ModelParallelStrategy: ("_data_parallel_size",),
    Trainer: (
        "_accelerator_connector",
        "_checkpoint_connector",
        "_logger_connector",
        "_signal_connector",
    ),
    WeightAveraging: ("_average_model",),
    checkpoint_connector._CheckpointConnector: ("_hpc_resume_path",),
    logger_connector._LoggerConnector: ("update_train_step_metrics",),
    signal_connector._SignalConnector: ("_sigterm_notifier_fn",),
}
"""Class -> its private attributes that are used or overridden here."""

RESTORING_MODULE = checkpoint_connector.__name__
"""The module of Lightning that takes in checkpoints."""


class HookedCLI(LightningCLI):
    """`LightningCLI` whose private steps have hooks with public names."""

    def add_subcommand_arguments(self, parser: LightningArgumentParser, subcommand: str) -> None:
        """Add options to the parser of a subcommand."""

    def check_checkpoint(self) -> None:
        """Check `--ckpt_path` before anything is built.

        Lightning would take hyper-parameters from the checkpoint, names of classes among them, over
        those of the user.
        """

    def seed(self) -> None:
        """Seed everything."""
        super()._set_seed()

    def run_subcommand(self, subcommand: str) -> None:
        """Run the subcommand with everything built."""
        super()._run_subcommand(subcommand)

    def built_from(self, name: str) -> Any:
        """The options of the subcommand that `name` (`trainer`, `model`, `data`) is built from."""
        return self._get(self.config_init, name)

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        self.add_subcommand_arguments(parser, subcommand)
        return parser

    def _parse_ckpt_path(self) -> None:
        self.check_checkpoint()

    def _set_seed(self) -> None:
        self.seed()

    def _run_subcommand(self, subcommand: str) -> None:
        self.run_subcommand(subcommand)


class HeldCheckpoint(ModelCheckpoint):
    """`ModelCheckpoint` that can be asked whether it is time to save, and told to save now.

    With `save_last: link`, the link leads to a whole checkpoint at every moment.
    """

    def is_due(self, trainer: Trainer) -> bool:
        """Whether `every_n_train_steps` says to save after this step."""
        every = self._every_n_train_steps
        return every > 0 and trainer.global_step % every == 0

    def save_now(self, trainer: Trainer) -> None:
        """Save as after a step, unless this state is saved already."""
        if not self._should_skip_saving_checkpoint(trainer):
            candidates = self._monitor_candidates(trainer)
            self._save_topk_checkpoint(trainer, candidates)
            self._save_last_checkpoint(trainer, candidates)

    def _remove_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        last = Path(self.last_model_path)
        leads_there = last.is_symlink() and last.resolve() == Path(filepath).resolve()
        if trainer.is_global_zero and self.save_last == "link" and leads_there:
            replace_link(last, Path(self._last_checkpoint_saved))
        super()._remove_checkpoint(trainer, filepath)

    @staticmethod
    def _link_checkpoint(trainer: Trainer, filepath: str, linkpath: str) -> None:
        # Lightning's takes the old link away first. Windows does not let everyone make links.
        if os.name == "nt" or Path(linkpath).is_dir():
            ModelCheckpoint._link_checkpoint(trainer, filepath, linkpath)
            return
        if trainer.is_global_zero and Path(filepath).absolute() != Path(linkpath).absolute():
            replace_link(Path(linkpath), Path(filepath))
        trainer.strategy.barrier()


def end_after_step(trainer: Trainer) -> None:
    """Ask a trainer to end after its step, as SIGTERM does: it then raises `SIGTERMException`."""
    trainer._signal_connector.received_sigterm = True


def log_this_step(trainer: Trainer) -> None:
    """Have a trainer log what a step of training has logged, as it would a moment later."""
    trainer._logger_connector.update_train_step_metrics()


def leave_sigterm_alone(trainer: Trainer) -> None:
    """Keep Lightning's own handler of SIGTERM from running before others.

    It passes the signal on and then broadcasts, from within whatever the process was at. Where its
    peers wait for it in another collective, all of them hang.
    """
    trainer._signal_connector._sigterm_notifier_fn = _do_nothing  # type: ignore[assignment]


def _do_nothing(*_: Any) -> None:
    """In place of a handler; some strategies pickle the trainer, and so this."""


def is_watched_by_first(trainer: Trainer) -> bool:
    """Whether the run's first process started this one; it ends at once if this one fails."""
    environment = trainer._accelerator_connector.cluster_environment
    return not trainer.is_global_zero and isinstance(environment, LightningEnvironment)


def requeue_signal(trainer: Trainer) -> signal.Signals | None:
    """What Slurm sends before it ends a job that is to be requeued; None without Slurm."""
    environment = trainer._accelerator_connector.cluster_environment
    if isinstance(environment, SLURMEnvironment) and environment.auto_requeue:
        return environment.requeue_signal
    return None


def trainer_of(module: nn.Module) -> Trainer | None:
    """The trainer of a module; None where no trainer, or none of Lightning, has it."""
    return getattr(module, "_trainer", None)


def averaged_module(callback: object) -> nn.Module | None:
    """The average that a callback keeps of the module which is trained; None if it keeps none."""
    if isinstance(callback, WeightAveraging) and callback._average_model is not None:
        average: nn.Module = callback._average_model.module
        return average
    return None


def has_begun(callback: object) -> bool:
    """Whether a callback that keeps an average has averaged anything yet."""
    assert isinstance(callback, WeightAveraging) and callback._average_model is not None
    return int(callback._average_model.n_averaged) > 0


def slurm_checkpoint(trainer: Trainer) -> str | None:
    """The checkpoint that was saved when SLURM preempted the run, if there is one."""
    path: str | None = trainer._checkpoint_connector._hpc_resume_path
    return path


def shard_over_all(strategy: ModelParallelStrategy) -> None:
    """Make all processes one dimension that weights are sharded over, before they are set up."""
    strategy._data_parallel_size = strategy.num_nodes * strategy.num_processes
