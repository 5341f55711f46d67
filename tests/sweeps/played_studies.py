"""Studies whose trials are played by a function instead of a run."""

import socket
import sqlite3

from showo_turbo.sweeps import SearchSpace, Sweep, SweepSettings
from showo_turbo.sweeps import study as study_module
from showo_turbo.sweeps.study import FOLDER, HOST
from showo_turbo.sweeps.trial_process import TrialFailedError

CONFIG = {"seed_everything": 0, "x": 0.0, "trainer": {"default_root_dir": None, "callbacks": None}}


def space(**options):
    defaults = {
        "metric": "val/score",
        "sampler": "grid",
        "parameters": {"x": [1.0, 2.0, 3.0], "seed_everything": [0, 1]},
    }
    return SearchSpace(SweepSettings("study", **(defaults | options)), CONFIG)


def run(folder, report=lambda line: None, **options):
    sweep = Sweep(space(**options), folder)
    sweep.run(report)
    return sweep.study


def begin(sweep, folder, host=None):
    """Begin a trial as a process does that works on it."""
    trial = sweep.study.ask()
    trial.set_user_attr(HOST, host or socket.gethostname())
    sweep.space.suggest(trial)
    trial.set_user_attr(FOLDER, str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    sweep.study._storage.record_heartbeat(trial._trial_id)
    return trial


def kill(trial, database):
    """Let a trial have fallen silent long ago."""
    long_ago = ["2020-01-01 00:00:00", trial._trial_id]
    with sqlite3.connect(database) as opened:
        opened.execute("UPDATE trial_heartbeats SET heartbeat = ? WHERE trial_id = ?", long_ago)


def failing(played, monkeypatch, fails, error=TrialFailedError):
    """Let trials fail as long as `fails` says so of their configuration."""
    play = study_module.run_trial

    def fail(config, metric, *rest):
        if fails(config):
            raise error(f"showo-turbo: no {metric}")
        return play(config, metric, *rest)

    monkeypatch.setattr(study_module, "run_trial", fail)
