"""One trial: a `showo-turbo fit` of its own, watched through the file of its metrics.

Optuna's callback for Lightning reports and prunes inside the run, for which it needs the trial's
object there. A run is a process of its own here, perhaps on many GPUs: it resumes like any other,
and neither its faults nor its memory reach the sweep. So the run only writes its metrics, and the
sweep reports them.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import yaml

from ..errors import UserError
from ..utils.files import write_text
from ..utils.lock import folder_lock
from ..utils.text_files import read_notes

CONFIG_FILE = "trial.yaml"
METRIC_FILE = "sweep_metric.jsonl"
LOG_FILE = "output.log"
POLL_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
LEFTOVER_SECONDS = 600.0


class TrialFailedError(RuntimeError):
    """A trial's run ended with an error; the message is its last line."""


class UnknownMetricError(TrialFailedError):
    """A trial's run has validated, but the metric that judges it was not logged."""


def run_trial(
    config: dict[str, Any], metric: str, folder: Path, observe: Callable[[int, float], bool]
) -> float:
    """Run a trial to its end, or continue one that was interrupted.

    Args:
        config: Its configuration.
        metric: Name of the logged metric that judges it.
        folder: Its folder.
        observe: Called with the number of each validation, from 0, and the metric; whether to
            prune the trial, which ends the run.

    Returns:
        The metric at the last validation.

    Raises:
        optuna.TrialPruned: If `observe` said so while the run went on.
        TrialFailedError: If the run fails or has never validated, or another one is in its folder.
        UnknownMetricError: As soon as a validation has not logged the metric.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # The run of a sweep that was killed ends by itself, after its batch or its validation.
        with folder_lock(folder, wait_s=LEFTOVER_SECONDS):
            pass
    except UserError as error:
        raise TrialFailedError(str(error)) from None
    content = yaml.safe_dump(_with_metrics(config, folder), sort_keys=False)
    write_text(folder / CONFIG_FILE, content)
    command = [sys.executable, "-m", "showo_turbo", "fit", "-c", str(folder / CONFIG_FILE)]
    with open(folder / LOG_FILE, "ab") as log:
        process = subprocess.Popen(
            [*command, "--resume", "auto"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            values = _watch(process, folder, metric, observe)
        except BaseException:
            _stop(process)
            raise
    if process.returncode:
        raise TrialFailedError(_last_line(folder / LOG_FILE) or f"status {process.returncode}")
    if not values:
        raise TrialFailedError(
            "the run has never validated; set trainer.check_val_every_n_epoch in the sweep's "
            "overrides"
        )
    return values[-1]


def read_metric(folder: Path, metric: str) -> list[float]:
    """The metric of each validation; where a resumed run validated again, the later value.

    Args:
        folder: A trial's folder.
        metric: Name of the logged metric.

    Raises:
        UnknownMetricError: If the newest validation has not logged it.
    """
    by_step: dict[int, dict[str, float]] = {}
    for entry in read_notes(folder / METRIC_FILE):
        by_step[entry["step"]] = entry["metrics"]
    validations = [by_step[step] for step in sorted(by_step)]
    if validations and metric not in validations[-1]:
        names = sorted(validations[-1])
        kind = f"{metric.partition('/')[0]}/"  # val/ or train/
        shown = ", ".join([name for name in names if name.startswith(kind)] or names) or "none"
        raise UnknownMetricError(f"there is no metric {metric!r}; those logged are {shown}")
    return [logged[metric] for logged in validations if metric in logged]


def _with_metrics(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The configuration with the callback that writes the metrics after every validation."""
    callbacks = config["trainer"].get("callbacks") or []
    callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
    entry = {
        "class_path": "showo_turbo.callbacks.SweepMetric",
        "init_args": {"file": str(folder / METRIC_FILE)},
    }
    return config | {"trainer": config["trainer"] | {"callbacks": [*callbacks, entry]}}


def _watch(
    process: subprocess.Popen[bytes],
    folder: Path,
    metric: str,
    observe: Callable[[int, float], bool],
) -> list[float]:
    """Wait for the end, observing every validation once, and return the metric of each."""
    observed, running = 0, True
    while True:
        try:
            process.wait(POLL_SECONDS)
            running = False
        except subprocess.TimeoutExpired:
            pass
        values = read_metric(folder, metric)
        for index in range(observed, len(values)):
            if observe(index, values[index]) and running:
                raise optuna.TrialPruned
        observed = len(values)
        if not running:
            return values


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a run politely, and at last by force."""
    process.terminate()
    try:
        process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
