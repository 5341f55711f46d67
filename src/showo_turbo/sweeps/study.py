"""A study on disk or in a database: asked for trials, told of results, continued after a crash."""

import fcntl
import math
import os
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .sampler import is_counted, make_pruner, make_sampler
from .space import SearchSpace
from .storage import fail_silent_trials, open_storage, opening_error
from .study_checks import check_grid, check_space, is_judged
from .trial_process import (
    GivenUpError,
    TrialFailedError,
    UnknownMetricError,
    lock_trial,
    run_trial,
)

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

FOLDER, HOST, FAULT = "folder", "host", "fault"
LOCK_FILE = ".study.lock"

NAMELESS_SECONDS = 60.0
"""A trial that has not said for so long whose it is belongs to a process that is gone."""


class Sweep:
    """Works on a study until it has all its trials.

    Several processes and machines may work on one study at once, each with its own `Sweep`, if they
    share the storage. A trial that was interrupted on this machine is begun again under a new
    number in its old folder, where `fit --resume auto` goes on from its last checkpoint. So is one
    that has failed before, and one of another machine that a database has not heard of for long.

    Args:
        space: What is varied; its choices are put in the order that the study has them in.
        folder: Where the trials' folders go, and the study if there is no other storage.
        storage: A database's URL, such as `postgresql://...`.

    Raises:
        UserError: If Optuna is missing, the folder cannot be written or holds another study's
            runs, the storage cannot be reached, or the study was begun with another space.
    """

    def __init__(self, space: SearchSpace, folder: Path, storage: str | None = None) -> None:
        self.space = space
        self.folder = folder
        self._report: Callable[[str], None] = print
        self.study = self._open(storage)
        check_space(self.study, space, folder)
        self._sampler = self.study.sampler = make_sampler(space)
        check_grid(self.study, space)

    def run(self, report: Callable[[str], None] = print) -> None:
        """Run trials until there is none left to begin.

        Args:
            report: Told a line when a trial begins or ends.

        Raises:
            UserError: If the first trial finds that there is no such metric.
        """
        self._report = report
        self._continue_stale_trials()
        self._run_failed_trials_again()
        self._list_running("is running", "")
        while not self._all_begun():
            self._run_one_trial()
            self._continue_stale_trials()
        self._list_running("is still running", "; the same command adds it when it has ended")

    def _run_one_trial(self) -> None:
        from optuna.trial import TrialState

        begun: list[int] = []

        def objective(trial: "Trial") -> float:
            begun.append(trial.number)
            return self._objective(trial)

        try:
            self.study.optimize(objective, n_trials=1, catch=(TrialFailedError,))
        except KeyboardInterrupt:
            # Optuna counts it as failed; its grid point would never be tried.
            for number in begun:
                if (trial := self.study.trials[number]).state == TrialState.FAIL:
                    self._queue_again(trial)
            raise
        except Exception:
            if not begun or begun[0] not in self._continued():
                raise
            self._report(
                f"trial {begun[0]}: the database had not heard of it, and another process "
                "continues it"
            )

    def _objective(self, trial: "Trial") -> float:
        """Run a trial in its folder, and give the metric that judges it."""
        from optuna import TrialPruned

        metric = self.space.settings.metric
        chosen = self.space.suggest(trial)
        folder = self._folder_of(trial)
        lock = lock_trial(folder)
        if lock is None:
            raise TrialFailedError(f"{folder} is being worked on by another process")
        trial.set_user_attr(FOLDER, str(folder))
        trial.set_user_attr(HOST, socket.gethostname())
        self._report(f"trial {trial.number}: {_shown(chosen)} in {folder}")
        config = self.space.configuration(chosen, str(folder))

        def observe(index: int, value: float) -> bool:
            trial.report(value, index)
            return trial.should_prune()

        try:
            value = run_trial(config, metric, folder, lock, observe)
            if math.isnan(value):
                raise TrialFailedError(f"{metric} is not a number")
        except GivenUpError:
            self._report(f"trial {trial.number}: given up early")
            raise TrialPruned from None
        except TrialFailedError as error:
            trial.set_user_attr(FAULT, str(error))
            if isinstance(error, UnknownMetricError) and not is_judged(self.study):
                raise UserError(
                    f"{error}; correct the sweep's metric and give the same command, which "
                    "continues the trial"
                ) from None
            self._report(f"trial {trial.number}: failed ({error}); see {folder}/output.log")
            raise
        finally:
            os.close(lock)
        self._report(f"trial {trial.number}: {metric} {value:g}")
        return value

    def _folder_of(self, trial: "Trial") -> Path:
        named = Path(trial.user_attrs.get(FOLDER, f"trial-{trial.number:04d}"))
        # That of another machine may not be on this one.
        return named if named.is_dir() else self.folder / named.name

    def _open(self, storage: str | None) -> "Study":
        try:
            import optuna
        except ImportError:
            raise UserError(
                'sweeps need Optuna; install it with: pip install "showo-turbo[sweep]"'
            ) from None
        # What went wrong with a trial is told in one line by `run`.
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"{self.folder} cannot be made ({error}); name another folder"
            raise UserError(message) from None
        settings = self.space.settings
        try:
            return optuna.create_study(
                storage=open_storage(self.folder, storage, self._take_over),
                study_name=settings.study,
                direction=settings.direction,
                pruner=make_pruner(self.space),
                load_if_exists=True,
            )
        except Exception as error:
            raise opening_error(error, self.folder, storage) from error

    def _continued(self) -> set[int]:
        """Numbers of the trials that were begun again under another number."""
        trials = self.study.get_trials(deepcopy=False)
        # Optuna's own name for the trial that one continues.
        found = (trial.system_attrs.get("failed_trial") for trial in trials)
        return {number for number in found if number is not None}

    def _all_begun(self) -> bool:
        """Whether no trial is left to begin: all are finished, or worked on by somebody."""
        from optuna.trial import TrialState

        continued = self._continued()
        trials = [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if trial.number not in continued and is_counted(trial, self.space)
        ]
        if any(trial.state == TrialState.WAITING for trial in trials):
            return False
        if self.space.settings.sampler == "grid":
            return len({trial.system_attrs.get("grid_id") for trial in trials} - {None}) >= (
                self.space.grid_size
            )
        return len(trials) >= self.space.settings.trials

    def _continue_stale_trials(self) -> None:
        """Queue the trials that a killed process or a silent machine has left behind."""
        from optuna.samplers import RandomSampler
        from optuna.trial import TrialState

        fail_silent_trials(self.study)
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
            self._report(f"trial {trial.number} was interrupted; it is continued")

    def _run_failed_trials_again(self) -> None:
        """Queue the trials that have failed before, once."""
        from optuna.trial import TrialState

        with open(self.folder / LOCK_FILE, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
            continued = self._continued()
            for trial in self.study.get_trials(states=(TrialState.FAIL,)):
                if trial.number not in continued and is_counted(trial, self.space):
                    self._queue_again(trial)
                    fault = f" ({trial.user_attrs[FAULT]})" if FAULT in trial.user_attrs else ""
                    self._report(f"trial {trial.number} has failed{fault}; it is run again")

    def _take_over(self, study: "Study", trial: "FrozenTrial") -> None:
        """Queue a trial whose process the database has not heard of for long."""
        self._queue_again(trial)
        host = trial.user_attrs.get(HOST, "another machine")
        self._report(f"trial {trial.number} has fallen silent on {host}; it is continued")

    def _queue_again(self, trial: "FrozenTrial") -> None:
        """Let a trial be continued under a new number in its old folder."""
        from optuna.trial import TrialState, create_trial

        if not is_counted(trial, self.space):
            return  # a new trial gets its combination
        self.study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs={FOLDER: folder} if (folder := trial.user_attrs.get(FOLDER)) else {},
                system_attrs=trial.system_attrs | {"failed_trial": trial.number},
            )
        )

    def _list_running(self, what: str, more: str) -> None:
        """Report the trials that other processes work on."""
        from optuna.trial import TrialState

        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            host = trial.user_attrs.get(HOST, "an unnamed host")
            place = trial.user_attrs.get(FOLDER, "no folder yet")
            self._report(f"trial {trial.number} {what} on {host} ({place}){more}")

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


def _shown(chosen: dict[str, Any]) -> str:
    return ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in chosen.items())
