"""Trials that were killed, interrupted, lost with their machine, or that failed."""

import socket

import optuna
import pytest

from showo_turbo.errors import UserError
from showo_turbo.sweeps import Sweep, write_results
from showo_turbo.sweeps import study as study_module
from showo_turbo.sweeps.storage import STORAGE_FILE
from showo_turbo.sweeps.study import FOLDER
from showo_turbo.sweeps.trial_process import UnknownMetricError

from .played_studies import begin, failing, kill, run, space


@pytest.fixture
def killed(tmp_path, played):
    """A study whose first trial's process was killed."""

    def begun(**options):
        kill(
            begin(Sweep(space(**options), tmp_path), tmp_path / "trial-0000"),
            tmp_path / STORAGE_FILE,
        )

    return begun


def test_a_killed_trial_is_continued_in_its_folder(tmp_path, played, killed):
    killed()
    lines = []
    study = run(tmp_path, lines.append)
    assert lines[1] == f"trial 0 has fallen silent on {socket.gethostname()}; it is continued"
    assert played[0][2] == tmp_path / "trial-0000"
    assert len({entry[:2] for entry in played}) == len(played) == 6
    assert [trial.state.name for trial in study.trials] == ["FAIL"] + ["COMPLETE"] * 6


def test_the_last_trial_of_a_grid_is_continued_too(tmp_path, played, killed):
    options = {"parameters": {"x": [1.0], "seed_everything": [0]}}
    killed(**options)
    study = run(tmp_path, **options)
    assert played == [(1.0, 0, tmp_path / "trial-0000")]
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE"]


def test_a_trial_that_was_killed_a_moment_ago_is_waited_for(tmp_path, played, monkeypatch):
    options = {"parameters": {"x": [1.0], "seed_everything": [0]}}
    trial = begin(Sweep(space(**options), tmp_path), tmp_path / "trial-0000")
    monkeypatch.setattr(study_module, "SILENCE_SECONDS", 60.0)
    # Instead of a minute.
    monkeypatch.setattr(
        study_module.time, "sleep", lambda seconds: kill(trial, tmp_path / STORAGE_FILE)
    )
    run(tmp_path, **options)
    assert played == [(1.0, 0, tmp_path / "trial-0000")]


def test_a_trial_that_is_killed_again_and_again(tmp_path, played, killed):
    killed()
    for number in (0, 1):
        sweep = Sweep(space(), tmp_path)
        sweep._take_over_silent_trials()
        trial = begin(sweep, tmp_path / "trial-0000")
        assert trial.number == number + 1
        kill(trial, tmp_path / STORAGE_FILE)
    run(tmp_path)
    assert played[0][2] == tmp_path / "trial-0000"
    assert len({entry[:2] for entry in played}) == len(played) == 6


def test_an_interrupted_trial_is_continued_in_its_folder(tmp_path, played, monkeypatch):
    def interrupt(config, metric, folder, observe):
        folder.mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(study_module, "run_trial", interrupt)
        run(tmp_path)
    lines = []
    study = run(tmp_path, lines.append)
    assert lines[0] == "trial 0 was interrupted; it is run again"
    assert played[0][2] == tmp_path / "trial-0000"
    assert len({entry[:2] for entry in played}) == len(played) == 6
    assert [trial.state.name for trial in study.trials].count("FAIL") == 1


def test_a_trial_that_was_killed_before_its_first_heartbeat(tmp_path, played, monkeypatch):
    sweep = Sweep(space(), tmp_path)
    sweep.study.ask()
    monkeypatch.setattr(study_module, "SILENCE_SECONDS", -1.0)
    sweep.run(lambda line: None)
    assert len({entry[:2] for entry in played}) == len(played) == 6


def test_a_trial_that_somebody_works_on_is_left_alone(tmp_path, played):
    sweep = Sweep(space(), tmp_path)
    folder = tmp_path / "elsewhere"
    begin(sweep, folder)
    sweep.run(lambda line: None)
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
        with pytest.raises(UserError, match="no val/scroe"):
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
    elsewhere = tmp_path / "elsewhere/trial-0000"
    begin(sweep, elsewhere, host="node7")
    lines = []
    sweep.run(lines.append)
    assert lines[0] == f"trial 0 is running on node7 ({elsewhere})"
    assert lines[-1].startswith(f"trial 0 is still running on node7 ({elsewhere}); the")
    assert len(played) == 5


def test_a_silent_machine_s_trial_is_continued(tmp_path, played):
    sweep = Sweep(space(), tmp_path / "one", f"sqlite:///{tmp_path}/shared.db")
    places = [tmp_path / f"two/trial-000{number}" for number in (0, 1)]
    silent, _ = (begin(sweep, place, host="node7") for place in places)
    kill(silent, tmp_path / "shared.db")
    places[0].rmdir()  # on the other machine's disk
    lines = []
    sweep.run(lines.append)
    assert lines[1] == f"trial 1 is running on node7 ({places[1]})"
    assert lines[2] == "trial 0 has fallen silent on node7; it is continued"
    assert played[0][2] == tmp_path / "one" / "trial-0000", "a folder that is on this machine"
    assert len({entry[:2] for entry in played}) == len(played) == 5


def test_a_trial_that_was_taken_over_is_left_to_the_other(tmp_path, played, monkeypatch):
    sweep = Sweep(space(sampler="random", trials=1), tmp_path, f"sqlite:///{tmp_path}/shared.db")

    def lose(config, metric, folder, observe):
        trial = sweep.study.trials[-1]
        sweep.study._storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.FAIL)
        sweep._take_over(sweep.study, trial)
        patched.undo()
        return 1.0

    lines = []
    with monkeypatch.context() as patched:
        patched.setattr(study_module, "run_trial", lose)
        sweep.run(lines.append)
    assert any("another process has it" in line for line in lines)
    assert len(played) == 1


def test_runs_of_another_study_are_not_taken_over(tmp_path, played):
    run(tmp_path)
    (tmp_path / STORAGE_FILE).unlink()
    with pytest.raises(UserError, match="is of another study"):
        Sweep(space(), tmp_path)


@pytest.mark.bad_input
def test_a_study_of_an_earlier_version(tmp_path, played):
    old = tmp_path / "old" / "study.journal"
    old.parent.mkdir()
    old.touch()
    with pytest.raises(UserError, match=r"study.journal is the study of an earlier version"):
        Sweep(space(), old.parent)
    study = run(tmp_path / "new")
    study.set_user_attr("layout", None)
    with pytest.raises(UserError, match="was begun by an earlier version"):
        Sweep(space(), tmp_path / "new")
