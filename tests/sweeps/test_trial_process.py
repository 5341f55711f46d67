"""Trials whose run is a small script in place of `showo-turbo fit`."""

import json
import sys

import optuna
import pytest
import yaml

from showo_turbo.sweeps import trial_process
from showo_turbo.sweeps.trial_process import (
    TrialFailedError,
    UnknownMetricError,
    read_metric,
    run_trial,
)
from showo_turbo.utils.lock import folder_lock

CONFIG = {"trainer": {"callbacks": {"class_path": "One"}}}
SCRIPT = """#!{python}
import json, pathlib, sys, time
folder = pathlib.Path(sys.argv[sys.argv.index("-c") + 1]).parent
assert sys.argv[-2:] == ["--resume", "auto"]
for step in range({steps}):
    with open(folder / "sweep_metric.jsonl", "a") as file:
        file.write(json.dumps({{"step": step, "metrics": {{"val/x": step / 2}}}}) + "\\n")
    time.sleep({pause})
print("the last word")
sys.exit({status})
"""


@pytest.fixture
def fit(tmp_path, monkeypatch):
    monkeypatch.setattr(trial_process, "POLL_SECONDS", 0.05)

    def play(steps=3, pause=0.0, status=0, metric="val/x", prune=lambda index, value: False):
        script = tmp_path / "fit.py"
        script.write_text(
            SCRIPT.format(python=sys.executable, steps=steps, pause=pause, status=status)
        )
        script.chmod(0o755)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(script))
            seen = []

            def observe(*entry):
                seen.append(entry)
                return prune(*entry)

            return run_trial(CONFIG, metric, tmp_path / "trial", observe), seen

    return play


def test_the_last_value_counts_and_all_are_told(fit, tmp_path):
    value, seen = fit()
    assert value == 1.0 and seen == [(0, 0.0), (1, 0.5), (2, 1.0)]
    written = yaml.safe_load((tmp_path / "trial" / "trial.yaml").read_text())
    first, second = written["trainer"]["callbacks"]
    assert first == {"class_path": "One"}
    assert second["class_path"] == "showo_turbo.callbacks.SweepMetric"


def test_a_failed_run_tells_its_last_line(fit):
    with pytest.raises(TrialFailedError, match="the last word"):
        fit(status=2)


def test_a_run_that_never_validates(fit):
    with pytest.raises(TrialFailedError, match="never validated"):
        fit(steps=0)


def test_a_run_that_is_pruned_is_ended(fit, tmp_path, monkeypatch):
    with pytest.raises(optuna.TrialPruned):
        fit(steps=1000, pause=0.2, prune=lambda index, value: index == 1)
    assert len(read_metric(tmp_path / "trial", "val/x")) < 1000


def test_a_run_that_has_ended_is_not_pruned(fit, monkeypatch):
    monkeypatch.setattr(trial_process, "POLL_SECONDS", 60.0)
    value, _ = fit(prune=lambda index, value: True)
    assert value == 1.0


def test_the_run_that_a_killed_sweep_has_left_is_waited_for(fit, tmp_path, monkeypatch):
    (tmp_path / "trial").mkdir()
    monkeypatch.setattr(trial_process, "LEFTOVER_SECONDS", 0.0)
    with (
        folder_lock(tmp_path / "trial"),
        pytest.raises(TrialFailedError, match="is being written by process"),
    ):
        fit()
    assert fit()[0] == 1.0


def test_a_resumed_run_overrides_its_values(tmp_path):
    lines = [(10, 1.0), (20, 2.0), (10, 3.0), (20, 4.0)]
    text = "".join(json.dumps({"step": s, "metrics": {"val/x": v}}) + "\n" for s, v in lines)
    (tmp_path / "sweep_metric.jsonl").write_text(text + '{"step": 30, "val')
    assert read_metric(tmp_path, "val/x") == [3.0, 4.0]


@pytest.mark.bad_input
def test_a_metric_that_is_not_logged_ends_the_run(fit, tmp_path):
    with pytest.raises(UnknownMetricError, match="no metric 'val/y'"):
        fit(steps=1000, pause=0.05, metric="val/y")
    assert 0 < len(read_metric(tmp_path / "trial", "val/x")) < 1000


def test_a_corrected_metric_is_found_in_what_was_logged(tmp_path):
    entries = [{"step": 1, "metrics": {"a": 1.0}}, {"step": 2, "metrics": {"a": 2.0, "b": 3.0}}]
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    (tmp_path / "sweep_metric.jsonl").write_text(text)
    assert read_metric(tmp_path, "a") == [1.0, 2.0]
    assert read_metric(tmp_path, "b") == [3.0]


@pytest.mark.bad_input
def test_metrics_of_the_same_kind_are_offered(tmp_path):
    entry = {"step": 1, "metrics": {"train/loss": 1.0, "val/b": 2.0, "val/a": 3.0}}
    (tmp_path / "sweep_metric.jsonl").write_text(json.dumps(entry))
    with pytest.raises(UnknownMetricError, match=r"'val/c'; those logged are val/a, val/b$"):
        read_metric(tmp_path, "val/c")
    with pytest.raises(UnknownMetricError, match=r"are train/loss, val/a, val/b$"):
        read_metric(tmp_path, "loss")
