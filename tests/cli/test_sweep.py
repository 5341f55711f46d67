"""`showo-turbo sweep`, with real runs of a tiny model."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from .experiment import small_experiment

KEY = "model.init_args.losses.language.init_args.weight"
METRIC = "val/ar/tokens_per_forward"


@pytest.fixture
def files(tmp_path, random_shapes_model, world, monkeypatch):
    """An experiment of seconds, and a sweep over it; gives a function that changes the sweep."""
    monkeypatch.chdir(tmp_path)
    experiment = small_experiment(random_shapes_model, world)
    experiment["model"]["init_args"]["losses"] = {
        "image_regularizer": {"class_path": "ImageRegularizer"},
        "language": {"class_path": "LanguageModelLoss", "init_args": {"weight": 0.1}},
    }
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(experiment))

    def write(**changes):
        settings = {
            "study": "weights",
            "metric": METRIC,
            "sampler": "grid",
            "parameters": {KEY: [0.1, 0.2]},
            "overrides": {"trainer.check_val_every_n_epoch": 1},
        }
        (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(settings | changes))
        return ["sweep", "-c", "experiment.yaml", "--sweep", "sweep.yaml"]

    return write


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"parameters": {"model.init_args.losses.langage": [0]}}, "did you mean"),
        ({"parameters": {KEY: ["high"]}}, "high"),
        ({"sampler": "guess"}, "guess"),
        ({"paramters": {}}, "paramters"),
        ({"average_over": ["data.init_args.seed"]}, "average_over names 'data.init_args.seed'"),
    ],
)
def test_mistakes_are_found_before_anything_runs(files, mistake, tmp_path, changes, words):
    assert words in mistake(*files(**changes))
    assert not (tmp_path / "runs").exists()


@pytest.mark.bad_input
def test_files_that_are_missing(files, mistake):
    assert "nothing.yaml does not exist" in mistake(
        "sweep", "-c", "experiment.yaml", "--sweep", "nothing.yaml"
    )
    assert "--sweep" in mistake("sweep", "-c", "experiment.yaml")


@pytest.mark.bad_input
def test_without_optuna(files, mistake, monkeypatch):
    for name in list(sys.modules):
        if name.startswith(("showo_turbo.sweeps", "showo_turbo.cli.sweep")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert 'install it with: pip install "showo-turbo[sweep]"' in mistake(*files())


@pytest.mark.slow
def test_a_killed_sweep_goes_on(files, python, tmp_path):
    start = (
        "from showo_turbo.sweeps import storage, study\n"
        "storage.HEARTBEAT_SECONDS = 1\n"
        "storage.SILENCE_SECONDS = study.SILENCE_SECONDS = 4\n"
        "from showo_turbo.cli.main import main\n"
        "main()"
    )
    command = [python, "-c", start, *files()]
    first = tmp_path / "runs/sweeps/weights/trial-0000"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 400
    while not (first / "sweep_metric.jsonl").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "runs/sweeps/weights/sweep.json").read_text())
    assert [row["state"] for row in found["trials"]] == ["COMPLETE"] * 2
    assert {row[KEY] for row in found["trials"]} == {0.1, 0.2}
    assert found["settings"][0]["mean"] == 1.0
    config = yaml.safe_load((first / "trial.yaml").read_text())
    assert config["model"]["init_args"]["losses"]["language"]["init_args"]["weight"] in (0.1, 0.2)
    assert (first / "checkpoints" / "last.ckpt").is_file()
    assert len((first / "sweep_metric.jsonl").read_text().splitlines()) >= 3
    # The same command again has nothing left to do.
    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0 and "trial 0:" not in again.stdout


@pytest.mark.bad_input
def test_a_misspelt_metric_is_corrected_without_training_again(files, python, tmp_path):
    def sweep(metric):
        arguments = files(metric=metric, parameters={KEY: [0.1]})
        command = [python, "-m", "showo_turbo", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=500)

    wrong = sweep("val/ar/tokens_per_forwrad")
    assert wrong.returncode == 2
    error = wrong.stderr.strip().splitlines()[-1]
    assert "no metric 'val/ar/tokens_per_forwrad'; those logged are" in error and METRIC in error
    file = tmp_path / "runs/sweeps/weights/trial-0000/sweep_metric.jsonl"
    logged = file.read_text()

    right = sweep(METRIC)
    assert right.returncode == 0, right.stderr
    assert "trial 0 has failed" in right.stdout and "it is run again" in right.stdout
    assert file.read_text().startswith(logged)
    (row,) = json.loads((tmp_path / "runs/sweeps/weights/sweep.json").read_text())["trials"]
    assert (row["state"], row["value"]) == ("COMPLETE", 1.0)
