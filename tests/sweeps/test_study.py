import logging

import pytest

from showo_turbo.errors import UserError
from showo_turbo.sweeps import PrunerSettings, Sweep, write_results
from showo_turbo.sweeps import study as study_module
from showo_turbo.sweeps.results import summarize
from showo_turbo.sweeps.storage import STORAGE_FILE
from showo_turbo.sweeps.trial_process import TrialFailedError

from .played_studies import begin, kill, run, space


def test_a_grid_is_tried_whole_and_once(tmp_path, played):
    run(tmp_path)
    assert sorted(entry[:2] for entry in played) == [
        (x, s) for x in (1.0, 2.0, 3.0) for s in (0, 1)
    ]
    run(tmp_path)
    assert len(played) == 6
    assert len({folder for *_, folder in played}) == 6


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
    best, other = summarize(rows, ["x"])
    assert (best["mean"], best["deviation"], best["n"]) == (5.0, None, 1)
    assert (other["mean"], other["deviation"], other["n"]) == (3.0, pytest.approx(2**0.5), 2)


def test_a_sweep_names_what_it_averages_over(tmp_path, played):
    options = {"parameters": {"x": [1.0, 2.0]}, "average_over": ["x"]}
    table = write_results(run(tmp_path, **options), space(**options), tmp_path)
    assert table.header == ["mean", "deviation", "n", "pruned", "failed"]
    assert table.rows == [["4.5", "2.121", "2", "0", "0"]]
    again = options | {"average_over": []}
    # To average over others makes no other study.
    table = write_results(run(tmp_path, **again), space(**again), tmp_path)
    assert len(table.rows) == len(played) == 2


@pytest.mark.parametrize("sampler", ["grid", "tpe"])
def test_the_order_of_choices_does_not_matter(tmp_path, played, monkeypatch, sampler):
    options = {"sampler": sampler, "trials": 6, "parameters": {"x": [1.0, 2.0, 3.0]}}
    orders = [("a", "b"), ("b", "a")]
    first, second = (
        options | {"variants": {name: {"seed_everything": ord(name)} for name in order}}
        for order in orders
    )
    second["parameters"] = {"x": [3.0, 1.0, 2.0]}
    kill(begin(Sweep(space(**first), tmp_path), tmp_path / "trial-0000"), tmp_path / STORAGE_FILE)
    study = run(tmp_path, **second)
    assert [trial.state.name for trial in study.trials] == ["FAIL"] + ["COMPLETE"] * 6
    for trial in study.trials[1:]:
        assert any(
            trial.params == {"x": x, "variant": chr(seed)} and str(folder) in str(trial.user_attrs)
            for x, seed, folder in played
        )
    if sampler == "grid":
        assert len({entry[:2] for entry in played}) == 6
    run(tmp_path, **first)
    assert len(played) == 6


def test_another_seed_of_a_grid_is_refused(tmp_path, played):
    kill(begin(Sweep(space(), tmp_path), tmp_path / "trial-0000"), tmp_path / STORAGE_FILE)
    with pytest.raises(UserError, match="begun with another seed"):
        Sweep(space(seed=1), tmp_path)
    run(tmp_path)
    assert len({entry[:2] for entry in played}) == len(played) == 6


def test_another_seed_of_a_random_search_is_fine(tmp_path, played):
    for seed in (0, 1):
        run(tmp_path, sampler="random", trials=2 + seed, seed=seed)
    assert len(played) == 3


def test_another_space_is_refused(tmp_path, played):
    run(tmp_path)
    with pytest.raises(UserError, match=r"begun with another parameters\.x"):
        Sweep(space(parameters={"x": [1.0], "seed_everything": [0, 1]}), tmp_path)
    assert len(Sweep(space(), tmp_path).study.trials) == 6


def test_a_database_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="cannot be opened"):
        Sweep(space(), tmp_path, f"sqlite:///{tmp_path}/no/such/folder.db")
