"""One trial: a `showo-turbo fit` of its own, watched through the file of its metric."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from ..utils.files import write_atomically

CONFIG_FILE = "trial.yaml"
METRIC_FILE = "sweep_metric.jsonl"
LOG_FILE = "output.log"
LOCK_FILE = ".trial.lock"
POLL_SECONDS = 1.0
PATIENCE_SECONDS = 60.0


class GivenUpError(RuntimeError):
    """Whoever observes a trial wants it to end."""


class TrialFailedError(RuntimeError):
    """A trial's run ended with an error; the message is its last line."""


class UnknownMetricError(TrialFailedError):
    """A trial's run has validated, but the metric that judges it was not logged."""


def lock_trial(folder: Path) -> int | None:
    """Claim a trial's folder for this process and the run that it starts.

    Returns:
        The open lock, to be closed when the trial is over; None if another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def with_metric(config: dict[str, Any], metric: str, folder: Path) -> dict[str, Any]:
    """Add the callback that writes the metric after every validation.

    Args:
        config: A trial's configuration.
        metric: Name of the logged metric.
        folder: The trial's folder.
    """
    trainer = dict(config["trainer"])
    callbacks = trainer.get("callbacks") or []
    callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
    options = {"metric": metric, "file": str(folder / METRIC_FILE)}
    entry = {"class_path": "showo_turbo.callbacks.SweepMetric", "init_args": options}
    return config | {"trainer": trainer | {"callbacks": [*callbacks, entry]}}


def run_trial(
    config: dict[str, Any],
    metric: str,
    folder: Path,
    lock: int,
    observe: Callable[[int, float], bool],
) -> float:
    """Run a trial to its end, or continue one that was interrupted.

    Args:
        config: Its configuration.
        metric: Name of the logged metric that judges it.
        folder: Its folder.
        lock: From `lock_trial`; the run keeps it too, should this process be killed.
        observe: Told the number of each validation, from 0, and the metric; whether to give up.

    Returns:
        The metric at the last validation.

    Raises:
        GivenUpError: If `observe` said so.
        TrialFailedError: If the run fails, or has never validated.
        UnknownMetricError: As soon as a validation has not logged the metric.
    """
    with write_atomically(folder / CONFIG_FILE) as temporary:
        content = yaml.safe_dump(with_metric(config, metric, folder), sort_keys=False)
        temporary.write_text(content, encoding="utf-8")
    command = [sys.executable, "-m", "showo_turbo", "fit", "-c", str(folder / CONFIG_FILE)]
    with open(folder / LOG_FILE, "ab") as log:
        process = subprocess.Popen(
            [*command, "--resume", "auto"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[lock],
        )
        try:
            _watch(process, folder, metric, observe)
        except BaseException:
            _stop(process)
            raise
    if process.returncode:
        raise TrialFailedError(_last_line(folder / LOG_FILE) or f"status {process.returncode}")
    values = read_metric(folder, metric)
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
    path = folder / METRIC_FILE
    by_step: dict[int, dict[str, float]] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in lines:
        try:
            entry = json.loads(line)
            # Earlier versions wrote one value and no metrics beside it.
            logged = entry["metrics"] if "metrics" in entry else {metric: entry["value"]}
            by_step[int(entry["step"])] = {name: float(logged[name]) for name in logged}
        except (json.JSONDecodeError, KeyError, TypeError):
            continue  # cut short by a crash
    validations = [by_step[step] for step in sorted(by_step)]
    if validations and metric not in validations[-1]:
        names = sorted(validations[-1])
        kind = f"{metric.partition('/')[0]}/"  # val/ or train/
        shown = ", ".join([name for name in names if name.startswith(kind)] or names) or "none"
        raise UnknownMetricError(f"there is no metric {metric!r}; those logged are {shown}")
    return [logged[metric] for logged in validations if metric in logged]


def _watch(
    process: subprocess.Popen[bytes],
    folder: Path,
    metric: str,
    observe: Callable[[int, float], bool],
) -> None:
    """Wait for the end, telling of every validation once."""
    told, running = 0, True
    while running:
        try:
            process.wait(POLL_SECONDS)
            running = False
        except subprocess.TimeoutExpired:
            pass
        values = read_metric(folder, metric)
        for index in range(told, len(values)):
            if observe(index, values[index]) and running:
                raise GivenUpError
        told = len(values)


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
