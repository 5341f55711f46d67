import pytest

from showo_turbo.sweeps import study as study_module
from showo_turbo.sweeps.trial_process import GivenUpError, lock_trial


@pytest.fixture
def played(monkeypatch):
    """The trials that were run: configuration and folder of each; the score is the value of x."""
    seen = []

    def play(config, metric, folder, lock, observe):
        seen.append((config["x"], config["seed_everything"], folder))
        assert lock_trial(folder) is None, "the folder was not locked"
        for index in range(3):
            if observe(index, config["x"] * (index + 1)):
                raise GivenUpError
        return config["x"] * 3

    monkeypatch.setattr(study_module, "run_trial", play)
    return seen
