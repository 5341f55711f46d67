"""`fit`, `validate`, `test` and `predict`: LightningCLI over our modules and DataModules."""

import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import SIGTERMException

# Imported so that YAML files can name these classes without their modules.
from .. import callbacks as _callbacks  # noqa: F401
from .. import training as _training  # noqa: F401
from ..callbacks import EvaluationTable
from ..data import caption_questions as _caption_questions  # noqa: F401
from ..data import class_folders as _class_folders  # noqa: F401
from ..data import distillation as _distillation  # noqa: F401
from ..data import pretraining as _pretraining  # noqa: F401
from ..data import shards as _shards  # noqa: F401
from ..errors import UserError, shown
from ..shapes import classes as _shapes_classes  # noqa: F401
from ..shapes import clip_checker as _shapes_clip_checker  # noqa: F401
from ..shapes import shapes_checker as _shapes_checker  # noqa: F401
from ..shapes import source as _shapes_source  # noqa: F401
from ..shapes import stories as _shapes_stories  # noqa: F401
from ..shapes import write_clips as _shapes_write_clips  # noqa: F401
from ..training.checkpoint_io import AtomicCheckpointIO, ExactResume
from ..training.measured import MeasuredModule
from ..training.ranks import lost_process
from ..utils.interruption import Interruption
from ..utils.lightning_internals import (
    HookedCLI,
    end_after_step,
    is_watched_by_first,
    leave_sigterm_alone,
    requeue_signal,
)
from . import LIGHTNING_COMMANDS
from .config_files import check_config_files
from .foreign import foreign_errors
from .full_config import with_callback_options
from .log_config import LoggedConfig, no_logs_of_refused_runs
from .messages import OneLineErrors
from .noise import leave_out_noise
from .null_groups import check_null_groups
from .resume import (
    check_named_checkpoint,
    check_no_other_run,
    checkpoint_to_resume,
    find_named_checkpoint,
    newest_checkpoint,
    restoring,
)
from .run_lock import run_lock
from .slurm import requeue_job

_HELP = (
    "Everything is set in YAML (-c config.yaml, several are merged) or by options such as "
    "--trainer.max_epochs 3 and, for a term that the YAML names, --model.losses.language.weight 0. "
    "The options of a class are shown by --model.help ShowoTurbo, --data.help "
    "DistillationDataModule and --trainer.callbacks.help Curriculum; those of a callback that the "
    "YAML lists are set by its name, such as --trainer.callbacks.Curriculum.batch_size 32. There "
    "is --model.help PretrainShowo or PretrainMMaDA with --data.help PretrainDataModule, and "
    "--model.help PretrainMAGVITv2 with --data.help ImageDataModule. A class of your own is named "
    "by its import path, such as my_callbacks.Mine."
)


class _CLI(HookedCLI):
    """Lightning's command line, with durable checkpoints and runs that resume by themselves."""

    def add_subcommand_arguments(self, parser: LightningArgumentParser, subcommand: str) -> None:
        """Add `--resume` to `fit`, and `--teacher` to `validate`."""
        if subcommand == "fit":
            parser.add_argument(
                "--resume",
                type=Literal["auto"] | None,
                default=None,
                help="`auto` continues from the newest good checkpoint in trainer.default_root_dir,"
                " and starts afresh where there is no checkpoint at all.",
            )
        if subcommand == "validate":
            parser.add_argument(
                "--teacher",
                type=str | None,
                default=None,
                help="A teacher to measure beside the student: `shapes`, a folder or a hub id.",
            )

    def before_validate(self) -> None:
        """Tell the model what to measure beside it; one table of the scores is enough."""
        callbacks = getattr(self.trainer, "callbacks", ())
        if any(isinstance(callback, EvaluationTable) for callback in callbacks):
            self.config_init["validate"].verbose = False
        teacher = self.config_init["validate"].teacher
        if teacher is not None:
            if not isinstance(self.model, MeasuredModule):
                raise UserError(
                    f"--teacher is for ShowoTurbo, not for {type(self.model).__name__}; leave it "
                    "out"
                )
            self.model.evaluation = replace(self.model.evaluation, teacher=teacher)

    def check_checkpoint(self) -> None:
        """Check it before networks are loaded; what runs is for the configuration to say."""
        name = self.config["subcommand"]
        path = self.config[name].get("ckpt_path")
        if path:
            check_named_checkpoint(path, resuming=name == "fit")

    def seed(self) -> None:
        """Seed, and say in one line what a seed must be."""
        try:
            super().seed()
        except ValueError as error:
            raise UserError(
                f"seed_everything: {error}; expected a whole number in these bounds, or true or "
                "false, so choose another"
            ) from error

    def instantiate_classes(self) -> None:
        """Build everything; before that, look for groups of options that are null."""
        config = self.config[self.config["subcommand"]]
        for name in ("model", "data"):
            check_null_groups(config.get(name), name)
        check_null_groups(config.trainer, "trainer")
        with foreign_errors():
            super().instantiate_classes()

    def instantiate_trainer(self, **options: Any) -> Trainer:
        """Build the trainer, and say in one line what is wrong with its options."""
        given = self.built_from("trainer")
        check_trainer_options(given)
        try:
            trainer = super().instantiate_trainer(**options)
        except (TypeError, ValueError, MisconfigurationException, ModuleNotFoundError) as error:
            what = " ".join(str(error).split())
            # Of this one Lightning says what it should be, but not what it is.
            got = f" It is {shown(given['devices'])}; correct it" if "`devices`" in what else ""
            raise UserError(f"trainer: {what}{got}") from error
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()
        return trainer

    def run_subcommand(self, subcommand: str) -> None:
        """Run it from its checkpoint, in a folder that no other run writes to meanwhile."""
        options = self.config_init[subcommand]
        lock = run_lock(self.trainer) if subcommand == "fit" else nullcontext()
        with lock, no_logs_of_refused_runs(self.trainer):
            path = self._choose_checkpoint(subcommand)
            if subcommand == "fit" and path is None and not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
                check_no_other_run(self.trainer)
            options.ckpt_path = None if path is None else str(path)
            # For strategies and plugins that read checkpoints in their own way.
            options.weights_only = True
            with restoring(path):
                if subcommand == "fit":
                    self._fit()
                else:
                    super().run_subcommand(subcommand)

    def _fit(self) -> None:
        """Train; a signal ends it after a step, with a checkpoint and a status of its own."""
        trainer = self.trainer

        def stops() -> bool:
            return bool(trainer.training) and trainer.state.fn == "fit"

        requeue = requeue_signal(trainer)
        further = [] if requeue is None else [requeue]
        interruption = Interruption(lambda: end_after_step(trainer), stops, further)
        leave_sigterm_alone(trainer)
        try:
            with interruption.handled():
                super().run_subcommand("fit")
        except (SIGTERMException, KeyboardInterrupt, SystemExit) as error:
            if isinstance(error, SIGTERMException) and interruption.received is None:
                interruption.received = signal.SIGTERM  # another process got it
            if interruption.received is None:
                raise
            if trainer.is_global_zero:
                ended = how_it_ended(trainer, interruption)
                print(f"showo-turbo: {ended}", file=sys.stderr, flush=True)
                if interruption.received == requeue:
                    requeue_job()
            status = 0 if is_watched_by_first(trainer) else interruption.status
            raise SystemExit(status) from error

    def _choose_checkpoint(self, subcommand: str) -> Path | None:
        """The checkpoint that the options name, or the one to resume from."""
        options = self.config_init[subcommand]
        named = options.get("ckpt_path")
        if subcommand != "fit" or options.resume is None:
            if not named:
                return None
            return find_named_checkpoint(named, self.trainer, resuming=subcommand == "fit")
        if named is not None:
            raise UserError(
                f"--resume auto and --ckpt_path {named} contradict each other; give one of them"
            )
        return checkpoint_to_resume(self.trainer)


def how_it_ended(trainer: Trainer, interruption: Interruption) -> str:
    """One line on a run that a signal has ended, with the way to go on."""
    assert interruption.received is not None
    ended = f"ended by {interruption.received.name} at step {trainer.global_step}"
    newest = newest_checkpoint(trainer)
    if newest is None:
        return f"{ended}, before the first checkpoint"
    return f"{ended}; go on from {newest} with the same command and --resume auto"


def check_trainer_options(options: Mapping[str, Any] | None) -> None:
    """Raise on values that `Trainer` accepts and fails on later, or never.

    Args:
        options: The trainer's, by name.

    Raises:
        UserError: Naming the first such value.
    """
    if options is None:
        raise UserError("trainer is null; expected its options, leave it out for the defaults")
    folder = options["default_root_dir"]
    if folder is not None and "://" in str(folder):
        raise UserError(
            f"trainer.default_root_dir: {folder} is an address; expected a folder of this machine, "
            "or a mounted one: name it"
        )
    if folder is not None and Path(folder).exists() and not Path(folder).is_dir():
        raise UserError(
            f"trainer.default_root_dir: {folder} is a file; expected the folder of the run, name "
            "another"
        )
    batches = options["accumulate_grad_batches"]
    if batches < 1:
        raise UserError(
            f"trainer.accumulate_grad_batches is {batches}; expected a whole number from 1, such "
            "as 1 for a step after every batch"
        )
    if options["overfit_batches"]:
        raise UserError(
            f"trainer.overfit_batches is {options['overfit_batches']}, but the data modules draw "
            "other samples in every epoch; leave it out, and set data.init_args.samples_per_epoch "
            "to overfit to few"
        )
    bound = options["gradient_clip_val"]
    if bound is not None and not bound >= 0:
        raise UserError(
            f"trainer.gradient_clip_val is {bound}; expected 0 or more, or null not to clip"
        )


def run_lightning(arguments: Sequence[str]) -> LightningCLI:
    """Parse a `fit`, `validate`, `test` or `predict` command line and run it.

    Raises:
        UserError: If the command line, a YAML file or the trainer's settings are wrong.
        KeyboardInterrupt: If the run was interrupted.
    """
    leave_out_noise()
    given = sys.argv
    with with_callback_options(arguments) as resolved:
        # Lightning warns when it gets other arguments than the process has.
        if list(arguments) == given[1:]:
            sys.argv = [given[0], *resolved]
        try:
            return _run(resolved)
        finally:
            sys.argv = given


class _Parser(OneLineErrors, LightningArgumentParser):
    """Writes what it has parsed without checking it again, which takes as long as parsing."""

    def dump(self, *args: Any, **kwargs: Any) -> str:
        """The configuration as text."""
        text: str = super().dump(*args, **{"skip_validation": True} | kwargs)
        return text

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the configuration to a file."""
        super().save(*args, **{"skip_validation": True} | kwargs)


def _run(arguments: Sequence[str]) -> LightningCLI:
    name = arguments[0]
    check_config_files(arguments)

    class Parser(_Parser):
        command = f"showo-turbo {name}"

    class OneCommand(_CLI):
        """Without the parsers of the other commands, each of which takes as long to build."""

        @staticmethod
        def subcommands() -> dict[str, set[str]]:
            return {name: LightningCLI.subcommands()[name]}

    try:
        return OneCommand(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            trainer_defaults={"callbacks": ExactResume()},
            save_config_callback=LoggedConfig,
            save_config_kwargs={"overwrite": True},
            parser_class=Parser,
            parser_kwargs={
                "prog": "showo-turbo",
                name: {"description": f"{LIGHTNING_COMMANDS[name]} {_HELP}"},
            },
            # Lightning warns when it gets arguments beside a command line; where they are the same,
            # it takes them from there.
            args=None if list(arguments) == sys.argv[1:] else list(arguments),
        )
    except SystemExit as exit_:
        # Lightning turns an interruption into status 1, once it has shut down.
        if isinstance(exit_.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from exit_
        raise
    except (MisconfigurationException, FileNotFoundError) as error:
        raise UserError(" ".join(str(error).split())) from error
    except RuntimeError as error:
        if lost_process(error):
            raise UserError(
                "another process of this run has died or hangs "
                f"({shorten(' '.join(str(error).split()), 200)}); see what it said, then start the "
                "run again with --resume auto"
            ) from error
        if str(error).startswith("Error(s) in loading state_dict"):
            raise UserError(
                f"the checkpoint does not fit the model ({shorten(str(error), 300)}); expected one "
                "of the same classes and sizes, name another or correct the configuration"
            ) from error
        raise
