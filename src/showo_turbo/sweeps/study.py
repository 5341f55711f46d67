"""A study in a database: Optuna chooses, prunes and retries its trials."""

import math
import socket
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import optuna
from optuna.storages import RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import FrozenTrial, Trial, TrialState

from ..errors import UserError
from ..utils.lock import folder_lock
from .sampler import make_pruner, make_sampler
from .space import SearchSpace
from .storage import SILENCE_SECONDS, open_storage, opening_error
from .trial_process import TrialFailedError, UnknownMetricError, run_trial

FOLDER, HOST, FAULT = "folder", "host", "fault"
"""What a trial notes of itself."""

LAYOUT, SPACE = "layout", "space"
"""What a study notes of itself."""

LAYOUT_VERSION = 2
LOCK_FILE = ".study.lock"
POLL_SECONDS = 1.0
PATIENCE_SECONDS = 60.0


class Sweep:
    """Works on a study until it has all its trials.

    Several processes and machines may work on one study at once, each with its own `Sweep`, if they
    share the storage. Optuna's heartbeat tells which trials their process has left: such a trial
    is continued under a new number in its old folder, where `fit --resume auto` goes on from its
    last checkpoint. So is one that has failed in an earlier run of the command.

    Args:
        space: What is varied.
        folder: Where the trials' folders go, and the study if there is no other storage.
        storage: A database's URL, such as `postgresql://...`.

    Raises:
        UserError: If the folder cannot be written or holds another study's
            runs, the storage cannot be reached or is of an earlier version, or the study was begun
            with another space.
    """

    def __init__(self, space: SearchSpace, folder: Path, storage: str | None = None) -> None:
        self.space = space
        self.folder = folder
        self._report: Callable[[str], None] = print
        # What went wrong with a trial is reported in one line by `run`.
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        # The heartbeat and the retry callback have been "experimental" for years.
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder} cannot be made ({error}); name another folder") from None
        with folder_lock(folder, LOCK_FILE, PATIENCE_SECONDS):
            self.study = self._open(storage)
            self._check_space()

    def run(self, report: Callable[[str], None] = print) -> None:
        """Run trials until all have been begun.

        At the end a trial that another process works on is waited for as long as it takes to see
        that its process is alive.

        Args:
            report: Called with a line when a trial begins or ends.

        Raises:
            UserError: If the first trial finds that there is no such metric.
        """
        self._report = report
        self._run_failed_trials_again()
        self._list_running("is running", "")
        silent_until = time.monotonic() + SILENCE_SECONDS
        while True:
            self._take_over_silent_trials()
            if not self._all_begun():
                self._run_one_trial()
            elif self._running() and time.monotonic() < silent_until:
                time.sleep(POLL_SECONDS)
            else:
                break
        self._list_running("is still running", "; the same command adds it when it has ended")

    def _run_one_trial(self) -> None:
        begun: list[int] = []

        def objective(trial: Trial) -> float:
            begun.append(trial.number)
            return self._objective(trial)

        try:
            self.study.optimize(objective, n_trials=1, catch=(TrialFailedError,))
        except Exception:
            if not begun or begun[0] not in retried_trials(self.study):
                raise
            self._report(f"trial {begun[0]}: its heartbeat was late, and another process has it")

    def _objective(self, trial: Trial) -> float:
        """Run a trial in its folder, and return the metric that judges it."""
        metric = self.space.settings.metric
        trial.set_user_attr(HOST, socket.gethostname())
        trial.set_user_attr(FAULT, None)  # that of the trial which this one continues
        chosen = self.space.suggest(trial)
        folder = self._folder_of(trial)
        trial.set_user_attr(FOLDER, str(folder))
        shown = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in chosen.items())
        self._report(f"trial {trial.number}: {shown} in {folder}")

        def observe(index: int, value: float) -> bool:
            trial.report(value, index)
            return trial.should_prune()

        try:
            config = self.space.configuration(chosen, str(folder))
            value = run_trial(config, metric, folder, observe)
            if math.isnan(value):
                raise TrialFailedError(f"{metric} is not a number")
        except optuna.TrialPruned:
            self._report(f"trial {trial.number}: pruned")
            raise
        except TrialFailedError as error:
            trial.set_user_attr(FAULT, str(error))
            if isinstance(error, UnknownMetricError) and not self._is_judged():
                raise UserError(
                    f"{error}; correct the sweep's metric and give the same command, which "
                    "continues the trial"
                ) from None
            self._report(f"trial {trial.number}: failed ({error}); see {folder}/output.log")
            raise
        self._report(f"trial {trial.number}: {metric} {value:g}")
        return value

    def _folder_of(self, trial: Trial) -> Path:
        named = Path(trial.user_attrs.get(FOLDER, f"trial-{trial.number:04d}"))
        # That of another machine may not be on this one.
        return named if named.is_dir() else self.folder / named.name

    def _open(self, storage: str | None) -> optuna.Study:
        try:
            return optuna.create_study(
                storage=open_storage(self.folder, storage, self._take_over),
                study_name=self.space.settings.study,
                direction=self.space.settings.direction,
                sampler=make_sampler(self.space),
                pruner=make_pruner(self.space),
                load_if_exists=True,
            )
        except UserError:
            raise
        except Exception as error:
            raise opening_error(error, self.folder, storage) from error

    def _check_space(self) -> None:
        """Note the space in a new study, and compare it with that of one which was begun.

        As long as no trial has logged the metric, the metric may be corrected.
        """
        study = self.study
        found = study.user_attrs.get(SPACE)
        if found is None:
            if old := next(self.folder.glob("trial-*"), None):
                raise UserError(
                    f"{old} is of another study than the new {study.study_name!r}; name another "
                    "folder, or restore its storage"
                )
            study.set_user_attr(LAYOUT, LAYOUT_VERSION)
        elif study.user_attrs.get(LAYOUT) != LAYOUT_VERSION:
            raise UserError(
                f"the study {study.study_name!r} was begun by an earlier version; finish it with "
                "that version, or give the study another name"
            )
        else:
            changed = self.space.changed_since(found)
            if changed and (changed != ["metric"] or self._is_judged()):
                more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
                raise UserError(
                    f"the study {study.study_name!r} was begun with another "
                    f"{', '.join(changed[:3])}{more}; go back to that, or give the study another "
                    "name"
                )
        study.set_user_attr(SPACE, self.space.describe())

    def _is_judged(self) -> bool:
        """Whether any trial has logged the metric."""
        trials = self.study.get_trials(deepcopy=False)
        return any(trial.intermediate_values or trial.values for trial in trials)

    def _all_begun(self) -> bool:
        """Whether no trial is left to begin: all are finished, or worked on by another process."""
        retried = retried_trials(self.study)
        trials = [
            trial for trial in self.study.get_trials(deepcopy=False) if trial.number not in retried
        ]
        if any(trial.state == TrialState.WAITING for trial in trials):
            return False
        if self.space.settings.sampler == "grid":
            points = {trial.system_attrs.get("grid_id") for trial in trials} - {None}
            return len(points) >= self.space.grid_size
        return len(trials) >= self.space.settings.trials

    def _take_over_silent_trials(self) -> None:
        """Let Optuna fail and retry the trials whose process has fallen silent."""
        fail_stale_trials(self.study)
        # Optuna passes over a trial that was killed before its first heartbeat.
        began_before = datetime.now() - timedelta(seconds=SILENCE_SECONDS)
        for trial in self._running():
            if HOST in trial.user_attrs or (trial.datetime_start or began_before) > began_before:
                continue
            try:
                # After its last point a grid's sampler stops the study, which it cannot from here.
                with suppress(RuntimeError, LookupError):
                    self.study.tell(trial.number, state=TrialState.FAIL)
            except ValueError:  # another process was faster
                continue
            self._take_over(self.study, trial)

    def _take_over(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Retry a trial whose process has fallen silent."""
        self._retry(trial)
        host = trial.user_attrs.get(HOST, "an unnamed host")
        self._report(f"trial {trial.number} has fallen silent on {host}; it is continued")

    def _run_failed_trials_again(self) -> None:
        """Retry the trials that an earlier run of the command has failed or was interrupted in."""
        with folder_lock(self.folder, LOCK_FILE, PATIENCE_SECONDS):
            retried = retried_trials(self.study)
            for trial in self.study.get_trials(states=(TrialState.FAIL,)):
                if trial.number not in retried:
                    self._retry(trial)
                    fault = trial.user_attrs.get(FAULT)
                    what = f"has failed ({fault})" if fault else "was interrupted"
                    self._report(f"trial {trial.number} {what}; it is run again")

    def _retry(self, trial: FrozenTrial) -> None:
        """Let a trial be continued under a new number in its old folder."""
        RetryHeartbeatStaleTrialCallback()(self.study, trial)

    def _running(self) -> list[FrozenTrial]:
        return self.study.get_trials(states=(TrialState.RUNNING,))

    def _list_running(self, what: str, more: str) -> None:
        """Report the trials that other processes work on."""
        for trial in self._running():
            host = trial.user_attrs.get(HOST, "an unnamed host")
            place = trial.user_attrs.get(FOLDER, "no folder yet")
            self._report(f"trial {trial.number} {what} on {host} ({place}){more}")


def retried_trials(study: optuna.Study) -> set[int]:
    """Numbers of the trials that another trial continues."""
    history = RetryHeartbeatStaleTrialCallback.retry_history
    return {number for trial in study.get_trials(deepcopy=False) for number in history(trial)}
