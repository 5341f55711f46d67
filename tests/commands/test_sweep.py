"""`showo-turbo sweep`, with real runs of a tiny model."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

KEY = "model.init_args.weights.language"
METRIC = "val/ar/tokens_per_forward"


@pytest.fixture
def files(tmp_path, random_shapes_model, world, monkeypatch):
    """An experiment of seconds, and a sweep over it; gives a function that changes the sweep."""
    monkeypatch.chdir(tmp_path)
    stage = {"epochs": 3, "steps": 2, "image_segments": 1, "image_trajectories": 8}
    experiment = {
        "seed_everything": 0,
        "model": {
            "class_path": "ShowoTurbo",
            "init_args": {
                "student": str(random_shapes_model),
                "text_tokenizer": str(random_shapes_model),
                "max_language_length": 16,
                "evaluation": {"fit_steps": [1], "max_new_tokens": 4},
            },
        },
        "data": {
            "class_path": "DistillationDataModule",
            "init_args": {
                "resolution": 24,
                "shapes": {
                    "folder": str(world),
                    "images": 48,
                    "documents": 16,
                    "validation_images": 8,
                },
                "batch_sizes": {"image": 4, "text": 0, "language": 2},
                "prompts_per_category": 1,
                "val_batch_size": 8,
            },
        },
        "trainer": {
            "accelerator": "cpu",
            "default_root_dir": "runs/base",
            "num_sanity_val_steps": 0,
            "check_val_every_n_epoch": 1000,
            "enable_progress_bar": False,
            "callbacks": [
                {"class_path": "Curriculum", "init_args": {"stages": [stage]}},
                {
                    "class_path": "ModelCheckpoint",
                    "init_args": {
                        "dirpath": "runs/base/checkpoints",
                        "save_last": True,
                        "save_on_train_epoch_end": True,
                    },
                },
            ],
        },
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
        ({"parameters": {"model.init_args.weights.langage": [0]}}, "did you mean"),
        ({"parameters": {KEY: ["high"]}}, "high"),
        ({"sampler": "guess"}, "guess"),
        ({"paramters": {}}, "paramters"),
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


@pytest.mark.slow
def test_a_killed_sweep_goes_on(files, tmp_path):
    command = [sys.executable, "-m", "showo_turbo", *files()]
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
    assert config["model"]["init_args"]["weights"]["language"] in (0.1, 0.2)
    assert (first / "checkpoints" / "last.ckpt").is_file()
    assert len((first / "sweep_metric.jsonl").read_text().splitlines()) >= 3
    # The same command again has nothing left to do.
    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0 and "trial 0:" not in again.stdout
