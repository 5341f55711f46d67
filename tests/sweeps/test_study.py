"""Studies whose trials are played by a function instead of a run."""

import logging
import os
import socket
import sys

import pytest

from showo_turbo.errors import UserError
from showo_turbo.sweeps import PrunerSettings, SearchSpace, Sweep, SweepSettings, write_results
from showo_turbo.sweeps import study as study_module
from showo_turbo.sweeps.results import summarize
from showo_turbo.sweeps.study import FOLDER, HOST
from showo_turbo.sweeps.trial_process import GivenUpError, TrialFailedError, lock_trial

CONFIG = {"seed_everything": 0, "x": 0.0, "trainer": {"default_root_dir": None, "callbacks": None}}


def space(**options):
    defaults = {"sampler": "grid", "parameters": {"x": [1.0, 2.0, 3.0], "seed_everything": [0, 1]}}
    return SearchSpace(SweepSettings("study", "val/score", **(defaults | options)), CONFIG)


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


def run(folder, report=lambda line: None, **options):
    sweep = Sweep(space(**options), folder)
    sweep.run(report)
    return sweep.study


def test_a_grid_is_tried_whole_and_once(tmp_path, played):
    run(tmp_path)
    assert sorted(entry[:2] for entry in played) == [
        (x, s) for x in (1.0, 2.0, 3.0) for s in (0, 1)
    ]
    run(tmp_path)
    assert len(played) == 6
    assert len({folder for *_, folder in played}) == 6


def begin(sweep, folder):
    """Begin a trial as a process does that is killed then."""
    trial = sweep.study.ask()
    sweep.space.suggest(trial)
    trial.set_user_attr(FOLDER, str(folder))
    trial.set_user_attr(HOST, socket.gethostname())


def test_a_killed_trial_is_continued_in_its_folder(tmp_path, played):
    begin(Sweep(space(), tmp_path), tmp_path / "trial-0000")
    lines = []
    run(tmp_path, lines.append)
    assert lines[0] == "trial 0 was interrupted; it is continued"
    assert played[0][2] == tmp_path / "trial-0000"
    assert len({entry[:2] for entry in played}) == len(played) == 6


def test_the_last_trial_of_a_grid_is_continued_too(tmp_path, played):
    options = {"parameters": {"x": [1.0], "seed_everything": [0]}}
    begin(Sweep(space(**options), tmp_path), tmp_path / "trial-0000")
    study = run(tmp_path, **options)
    assert played == [(1.0, 0, tmp_path / "trial-0000")]
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE"]


def test_an_interrupted_trial_is_continued_in_its_folder(tmp_path, played, monkeypatch):
    def interrupt(config, metric, folder, lock, observe):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(study_module, "run_trial", interrupt)
        run(tmp_path)
    study = run(tmp_path)
    assert played[0][2] == tmp_path / "trial-0000"
    assert len({entry[:2] for entry in played}) == len(played) == 6
    assert [trial.state.name for trial in study.trials].count("FAIL") == 1


def test_a_trial_that_was_killed_before_it_had_a_folder(tmp_path, played, monkeypatch):
    sweep = Sweep(space(), tmp_path)
    sweep.study.ask()
    monkeypatch.setattr(study_module, "NAMELESS_SECONDS", -1.0)
    sweep.run(lambda line: None)
    assert len({entry[:2] for entry in played}) == len(played) == 6


def test_a_trial_that_somebody_works_on_is_left_alone(tmp_path, played):
    sweep = Sweep(space(), tmp_path)
    folder = tmp_path / "elsewhere"
    begin(sweep, folder)
    lock = lock_trial(folder)
    sweep.run(lambda line: None)
    os.close(lock)
    assert len(played) == 5 and folder not in [place for *_, place in played]


def test_trials_of_all_machines_count(tmp_path, played):
    url = f"sqlite:///{tmp_path}/shared.db"
    for name in ("one", "two"):
        sweep = Sweep(space(sampler="random", trials=4), tmp_path / name, url)
        sweep.run(lambda line: None)
    assert len(played) == 4


def test_random_and_tpe_draw_from_ranges(tmp_path, played):
    for sampler in ("random", "tpe"):
        options = {"sampler": sampler, "trials": 12, "parameters": {"x": {"low": 0.0, "high": 1.0}}}
        study = run(tmp_path / sampler, **options)
        assert len(study.trials) == 12
        assert len({x for x, *_ in played}) > 5
        played.clear()


def test_bad_trials_are_given_up(tmp_path, played):
    pruner = PrunerSettings("median", startup_trials=1, warmup_validations=0)
    study = run(tmp_path, pruner=pruner)
    states = {trial.params["x"]: trial.state.name for trial in study.trials}
    assert states[3.0] == "COMPLETE"
    assert "PRUNED" in [trial.state.name for trial in study.trials]


def test_a_failed_trial_is_noted_and_the_others_run(tmp_path, played, monkeypatch, caplog):
    play = study_module.run_trial

    def fail(config, *rest):
        if config["x"] == 2.0:
            raise TrialFailedError("showo-turbo: no such thing")
        return play(config, *rest)

    monkeypatch.setattr(study_module, "run_trial", fail)
    found = space()
    sweep = Sweep(found, tmp_path)
    told = []
    monkeypatch.setattr(logging.getLogger("optuna"), "handlers", [caplog.handler])
    sweep.run(told.append)
    assert sum("failed (showo-turbo: no such thing)" in line for line in told) == 2
    assert "Traceback" not in caplog.text
    table = write_results(sweep.study, found, tmp_path)
    assert [row[0] for row in table.rows] == ["3.0", "1.0", "2.0"]
    assert table.rows[0][1:] == ["9", "0", "2", "0", "0"] and table.rows[2][-1] == "2"
    assert "no such thing" in (tmp_path / "trials.csv").read_text()
    for name in ("history", "slices", "parallel_coordinates", "validations"):
        assert (tmp_path / "plots" / f"{name}.png").stat().st_size > 1000
    assert len(played) == 4


def test_mean_and_deviation_over_seeds():
    values = [(1, 0, 2.0), (1, 1, 4.0), (2, 0, 5.0)]
    rows = [{"x": x, "seed_everything": s, "value": v, "state": "COMPLETE"} for x, s, v in values]
    best, other = summarize(rows, ["x", "seed_everything"])
    assert (best["mean"], best["deviation"], best["n"]) == (5.0, None, 1)
    assert (other["mean"], other["deviation"], other["n"]) == (3.0, pytest.approx(2**0.5), 2)


def test_another_space_is_refused(tmp_path, played):
    run(tmp_path)
    with pytest.raises(UserError, match=r"begun with another parameters\.x; go back to that"):
        Sweep(space(parameters={"x": [1.0], "seed_everything": [0, 1]}), tmp_path)
    assert len(Sweep(space(), tmp_path).study.trials) == 6


def test_runs_of_another_study_are_not_taken_over(tmp_path, played):
    run(tmp_path)
    (tmp_path / "study.journal").unlink()
    with pytest.raises(UserError, match="is of another study"):
        Sweep(space(), tmp_path)


def test_without_optuna(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"pip install .showo-turbo\[sweep\]"):
        Sweep(space(), tmp_path)


def test_a_database_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="cannot be opened"):
        Sweep(space(), tmp_path, f"sqlite:///{tmp_path}/no/such/folder.db")
