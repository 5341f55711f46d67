"""Trials that were killed, interrupted, lost with their machine, or that failed."""

import os
import sqlite3

import optuna
import pytest

from showo_turbo.errors import UserError
from showo_turbo.sweeps import Sweep, write_results
from showo_turbo.sweeps import study as study_module
from showo_turbo.sweeps.study import FOLDER
from showo_turbo.sweeps.trial_process import UnknownMetricError, lock_trial

from .played_studies import begin, failing, run, space


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


def test_failed_trials_are_run_again_by_the_next_command(tmp_path, played, monkeypatch):
    with monkeypatch.context() as patched:
        failing(played, patched, lambda config: config["x"] == 2.0)
        assert [trial.state.name for trial in run(tmp_path).trials].count("FAIL") == 2
        # Once a command.
        assert [trial.state.name for trial in run(tmp_path).trials].count("FAIL") == 4
    lines = []
    study = run(tmp_path, lines.append)
    assert lines[0].endswith("has failed (showo-turbo: no val/score); it is run again")
    assert sum("it is run again" in line for line in lines) == 2
    assert sorted(entry[:2] for entry in played) == [
        (x, s) for x in (1.0, 2.0, 3.0) for s in (0, 1)
    ]
    folders = {trial.user_attrs[FOLDER] for trial in study.trials}
    assert len(folders) == 6, "it goes on in its folder"
    table = write_results(study, space(), tmp_path)
    assert [row[-1] for row in table.rows] == ["0", "0", "0"]
    run(tmp_path)
    assert len(played) == 6


def test_failed_trials_of_a_random_search_are_run_again(tmp_path, played, monkeypatch):
    options = {"sampler": "random", "trials": 3}
    with monkeypatch.context() as patched:
        failing(played, patched, lambda config: True)
        given = [trial.params for trial in run(tmp_path, **options).trials]
    run(tmp_path, **options)
    assert [{"x": x, "seed_everything": seed} for x, seed, _ in played] == given


def test_a_misspelt_metric_stops_the_sweep_and_can_be_corrected(tmp_path, played, monkeypatch):
    with monkeypatch.context() as patched:
        failing(played, patched, lambda config: True, UnknownMetricError)
        with pytest.raises(
            UserError, match=r"no val/scroe; correct the sweep's metric and give the same command"
        ):
            run(tmp_path, metric="val/scroe")
    assert not played
    study = run(tmp_path)
    assert played[0][2] == tmp_path / "trial-0000"
    assert len(played) == 6 and len(study.trials) == 7
    with pytest.raises(UserError, match="begun with another metric"):
        run(tmp_path, metric="val/other")


def test_a_metric_that_some_trials_have_logged_stops_no_sweep(tmp_path, played, monkeypatch):
    failing(played, monkeypatch, lambda config: config["x"] == 2.0 and played, UnknownMetricError)
    run(tmp_path)
    assert len({x for x, *_ in played}) >= 2 and len(played) >= 4


def test_a_trial_without_a_number_has_failed(tmp_path, played):
    lines = []
    options = {"parameters": {"x": [float("nan"), 1.0]}, "sampler": "random", "trials": 6}
    run(tmp_path, lines.append, **options)
    assert any("failed (val/score is not a number)" in line for line in lines)


def test_running_trials_are_listed(tmp_path, played):
    sweep = Sweep(space(), tmp_path)
    begin(sweep, "/elsewhere/trial-0000", host="node7")
    lines = []
    sweep.run(lines.append)
    assert lines[0] == "trial 0 is running on node7 (/elsewhere/trial-0000)"
    assert lines[-1].startswith("trial 0 is still running on node7 (/elsewhere/trial-0000); the")
    assert len(played) == 5


@pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed")
def test_a_silent_machine_s_trial_is_continued(tmp_path, played):
    sweep = Sweep(space(), tmp_path / "one", f"sqlite:///{tmp_path}/shared.db")
    silent, alive = (begin(sweep, f"/elsewhere/trial-000{i}", host="node7") for i in (0, 1))
    for trial in (silent, alive):
        sweep.study._storage.record_heartbeat(trial._trial_id)
    with sqlite3.connect(tmp_path / "shared.db") as database:
        long_ago = ["2020-01-01 00:00:00", silent._trial_id]
        database.execute("UPDATE trial_heartbeats SET heartbeat = ? WHERE trial_id = ?", long_ago)
    lines = []
    sweep.run(lines.append)
    assert lines[0] == "trial 0 has fallen silent on node7; it is continued"
    assert lines[1] == "trial 1 is running on node7 (/elsewhere/trial-0001)"
    assert played[0][2] == tmp_path / "one" / "trial-0000", "a folder that is on this machine"
    assert len({entry[:2] for entry in played}) == len(played) == 5


def test_a_trial_that_was_taken_over_is_left_to_the_other(tmp_path, played, monkeypatch):
    sweep = Sweep(space(sampler="random", trials=1), tmp_path, f"sqlite:///{tmp_path}/shared.db")

    def lose(config, metric, folder, lock, observe):
        trial = sweep.study.trials[-1]
        sweep.study._storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.FAIL)
        sweep._take_over(sweep.study, trial)
        patched.undo()
        return 1.0

    lines = []
    with monkeypatch.context() as patched:
        patched.setattr(study_module, "run_trial", lose)
        sweep.run(lines.append)
    assert any("another process continues it" in line for line in lines)
    assert len(played) == 1


def test_runs_of_another_study_are_not_taken_over(tmp_path, played):
    run(tmp_path)
    (tmp_path / "study.journal").unlink()
    with pytest.raises(UserError, match="is of another study"):
        Sweep(space(), tmp_path)
