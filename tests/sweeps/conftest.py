import optuna
import pytest

from showo_turbo.sweeps import study as study_module


@pytest.fixture
def played(monkeypatch):
    """The trials that were run: configuration and folder of each; the score is the value of x."""
    seen = []

    def play(config, metric, folder, observe):
        seen.append((config["x"], config["seed_everything"], folder))
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(3):
            if observe(index, config["x"] * (index + 1)):
                raise optuna.TrialPruned
        return config["x"] * 3

    monkeypatch.setattr(study_module, "run_trial", play)
    # How long a process is waited for that works on the last trial.
    monkeypatch.setattr(study_module, "SILENCE_SECONDS", 0.0)
    return seen
