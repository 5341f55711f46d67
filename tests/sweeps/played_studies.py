"""Studies whose trials are played by a function instead of a run."""

import socket

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
    """Begin a trial as a process does that is killed then."""
    trial = sweep.study.ask()
    sweep.space.suggest(trial)
    trial.set_user_attr(FOLDER, str(folder))
    trial.set_user_attr(HOST, host or socket.gethostname())
    return trial


def failing(played, monkeypatch, fails, error=TrialFailedError):
    """Let trials fail as long as `fails` says so of their configuration."""
    play = study_module.run_trial

    def fail(config, metric, *rest):
        if fails(config):
            raise error(f"showo-turbo: no {metric}")
        return play(config, metric, *rest)

    monkeypatch.setattr(study_module, "run_trial", fail)
