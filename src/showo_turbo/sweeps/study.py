"""A study on disk or in a database: asked for trials, told of results, continued after a crash."""

import os
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .space import SearchSpace
from .trial_process import (
    GivenUpError,
    TrialFailedError,
    lock_trial,
    run_trial,
)

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

SPACE, FOLDER, HOST, FAULT = "space", "folder", "host", "fault"
STORAGE_FILE = "study.journal"

NAMELESS_SECONDS = 60.0
"""A trial that has not said for so long whose it is belongs to a process that is gone."""


class Sweep:
    """Works on a study until it has all its trials.

    Several processes and machines may work on one study at once, each with its own `Sweep`, if they
    share the storage. A trial that was interrupted on this machine is begun again under a new
    number in its old folder, where `fit --resume auto` goes on from its last checkpoint.

    Args:
        space: What is varied.
        folder: Where the trials' folders go, and the study if there is no other storage.
        storage: A database's URL, such as `postgresql://...`.

    Raises:
        UserError: If Optuna is missing, the folder cannot be written or holds another study's
            runs, the storage cannot be reached, or the study was begun with another space.
    """

    def __init__(self, space: SearchSpace, folder: Path, storage: str | None = None) -> None:
        self.space = space
        self.folder = folder
        self._sampler = make_sampler(space)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder} cannot be made ({error}); name another folder") from None
        self.study = self._open(storage)
        self._check_space()

    def run(self, report: Callable[[str], None] = print) -> None:
        """Run trials until there is none left to begin.

        Args:
            report: Told a line when a trial begins or ends.
        """
        from optuna import TrialPruned

        begun: list[int] = []

        def objective(trial: "Trial") -> float:
            begun.append(trial.number)
            chosen = self.space.suggest(trial)
            folder = Path(trial.user_attrs.get(FOLDER, self.folder / f"trial-{trial.number:04d}"))
            lock = lock_trial(folder)
            if lock is None:
                raise TrialFailedError(f"{folder} is being worked on by another process")
            trial.set_user_attr(FOLDER, str(folder))
            trial.set_user_attr(HOST, socket.gethostname())
            report(f"trial {trial.number}: {_shown(chosen)} in {folder}")
            config = self.space.configuration(chosen, str(folder))

            def observe(index: int, value: float) -> bool:
                trial.report(value, index)
                return trial.should_prune()

            try:
                metric = self.space.settings.metric
                value = run_trial(config, metric, folder, lock, observe)
            except GivenUpError:
                report(f"trial {trial.number}: given up early")
                raise TrialPruned from None
            except TrialFailedError as error:
                trial.set_user_attr(FAULT, str(error))
                report(f"trial {trial.number}: failed ({error}); see {folder}/output.log")
                raise
            finally:
                os.close(lock)
            report(f"trial {trial.number}: {metric} {value:g}")
            return value

        self._begin_stale_trials_again(report)
        while not self._all_begun():
            try:
                self.study.optimize(objective, n_trials=1, catch=(TrialFailedError,))
            except KeyboardInterrupt:
                # Optuna counts it as failed; its grid point would never be tried.
                self._queue_again(self.study.trials[begun[-1]])
                raise
            self._begin_stale_trials_again(report)

    def _open(self, storage: str | None) -> "Study":
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        # What went wrong with a trial is told in one line by `run`.
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        settings = self.space.settings
        place: str | BaseStorage
        if storage is None:
            place = JournalStorage(JournalFileBackend(str(self.folder / STORAGE_FILE)))
        else:
            place = storage
        try:
            return optuna.create_study(
                storage=place,
                study_name=settings.study,
                direction=settings.direction,
                sampler=self._sampler,
                pruner=make_pruner(self.space),
                load_if_exists=True,
            )
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            where = storage or self.folder / STORAGE_FILE
            raise UserError(f"the study in {where} cannot be opened ({reason})") from error

    def _check_space(self) -> None:
        """Note the space in a new study; refuse a study that was begun with another."""
        wanted = self.space.describe()
        found = self.study.user_attrs.get(SPACE)
        if found is None:
            if old := next(self.folder.glob("trial-*"), None):
                raise UserError(
                    f"{old} is of another study than the new {self.space.settings.study!r}; name "
                    "another folder, or restore its storage"
                )
            self.study.set_user_attr(SPACE, wanted)
            return
        changed = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            raise UserError(
                f"the study {self.space.settings.study!r} was begun with another "
                f"{', '.join(changed[:3])}{more}; go back to that, or give the study another name"
            )

    def _all_begun(self) -> bool:
        """Whether no trial is left to begin: all are finished, or worked on by somebody."""
        from optuna.trial import TrialState

        trials = self.study.get_trials(deepcopy=False)
        if any(trial.state == TrialState.WAITING for trial in trials):
            return False
        if self.space.settings.sampler == "grid":
            return len({trial.system_attrs.get("grid_id") for trial in trials} - {None}) >= (
                self.space.grid_size
            )
        begun_again = sum("failed_trial" in trial.system_attrs for trial in trials)
        return len(trials) - begun_again >= self.space.settings.trials

    def _begin_stale_trials_again(self, report: Callable[[str], None]) -> None:
        """Queue the trials that a killed process on this machine has left behind."""
        from optuna.samplers import RandomSampler
        from optuna.trial import TrialState

        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            if not self._is_stale(trial):
                continue
            # A grid's sampler would stop the study at its last point, which it cannot from here.
            self.study.sampler = RandomSampler()
            try:
                self.study.tell(trial.number, state=TrialState.FAIL)
            except ValueError:  # another process has just told it
                continue
            finally:
                self.study.sampler = self._sampler
            self._queue_again(trial)
            report(f"trial {trial.number} was interrupted; it is continued")

    def _queue_again(self, trial: "FrozenTrial") -> None:
        """Let a trial be continued under a new number in its old folder."""
        from optuna.trial import TrialState, create_trial

        self.study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs={FOLDER: folder} if (folder := trial.user_attrs.get(FOLDER)) else {},
                # Optuna's own name for the trial that this one continues.
                system_attrs=trial.system_attrs | {"failed_trial": trial.number},
            )
        )

    def _is_stale(self, trial: "FrozenTrial") -> bool:
        """Whether a trial's process is gone; of another machine's nothing is known."""
        host = trial.user_attrs.get(HOST)
        if host is None:  # killed before it said whose it is
            started = trial.datetime_start or datetime.min
            return datetime.now() - started > timedelta(seconds=NAMELESS_SECONDS)
        if host != socket.gethostname():
            return False
        lock = lock_trial(Path(trial.user_attrs[FOLDER]))
        if lock is None:
            return False
        os.close(lock)
        return True


def make_sampler(space: SearchSpace) -> "BaseSampler":
    """Optuna's sampler by the sweep's settings.

    Raises:
        UserError: If Optuna is missing.
    """
    try:
        from optuna import samplers
    except ImportError:
        raise UserError(
            'sweeps need Optuna; install it with: pip install "showo-turbo[sweep]"'
        ) from None
    settings = space.settings
    if settings.sampler == "grid":
        return samplers.GridSampler(space.grid, seed=settings.seed)
    if settings.sampler == "random":
        return samplers.RandomSampler(seed=settings.seed)
    return samplers.TPESampler(seed=settings.seed)


def make_pruner(space: SearchSpace) -> "BasePruner":
    """Optuna's pruner by the sweep's settings."""
    from optuna import pruners

    settings = space.settings.pruner
    if settings.name == "median":
        return pruners.MedianPruner(settings.startup_trials, settings.warmup_validations)
    if settings.name == "hyperband":
        return pruners.HyperbandPruner(min_resource=max(1, settings.warmup_validations))
    return pruners.NopPruner()


def _shown(chosen: dict[str, Any]) -> str:
    return ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in chosen.items())
