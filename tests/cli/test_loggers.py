"""Loggers get the whole configuration, the metrics and the pictures, by their overlays."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from lightning.pytorch import Callback

from showo_turbo.callbacks.sample_grid import log_picture

from ..support.counter import DATA, MODEL
from ..support.loading import ROOT
from ..support.logging_services import put_mlflow, put_wandb

PICTURE = np.zeros((4, 6, 3), dtype=np.uint8)


@pytest.fixture
def logged(command, tmp_path, monkeypatch):
    """Runs a training of seconds with an overlay; gives the folder of its logs."""

    def run(name, *callbacks):
        monkeypatch.chdir(tmp_path)
        content = {
            "model": MODEL | {"init_args": {"start": 2.5}},
            "data": DATA,
            "trainer": {
                "accelerator": "cpu",
                "max_epochs": 1,
                "log_every_n_steps": 1,
                "enable_progress_bar": False,
                "enable_checkpointing": False,
                "default_root_dir": "run",
                "callbacks": [{"class_path": f"{__name__}.{name}"} for name in callbacks],
            },
        }
        Path("config.yaml").write_text(yaml.safe_dump(content))
        overlay = ROOT / f"configs/loggers/{name}.yaml"
        several = () if name == "none" else ("--trainer.callbacks.Throughput.window_size", 2)
        result = command("fit", "-c", "config.yaml", "-c", overlay, *several)
        assert result.status == 0, result.errors
        return tmp_path / "runs/logs"

    return run


def the_one(paths):
    (path,) = paths
    return path


def test_csv(logged):
    folder = logged("csv")
    with open(the_one(folder.rglob("metrics.csv"))) as file:
        rows = list(csv.DictReader(file))

    def column(name):
        return [float(row[name]) for row in rows if row[name]]

    assert column("train/count") == [2.5, 3.5, 4.5, 5.5]
    assert column("lr-SGD") == [1.0] * 4
    speeds = column("train/samples_per_second")
    assert len(speeds) == 3 and min(speeds) > 0
    values = yaml.safe_load(the_one(folder.rglob("hparams.yaml")).read_text())
    assert values["model.init_args.start"] == 2.5
    assert values["trainer.max_epochs"] == 1


def test_none(logged, tmp_path):
    assert not logged("none").exists()
    assert not list(tmp_path.rglob("metrics.csv")) and not list(tmp_path.rglob("events.*"))


def test_tensorboard(logged):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = logged("tensorboard")
    values = yaml.safe_load(the_one(folder.rglob("hparams.yaml")).read_text())
    assert values["model.init_args.start"] == 2.5
    events = EventAccumulator(str(the_one(folder.rglob("events.*")).parent))
    events.Reload()
    assert [event.value for event in events.Scalars("train/count")] == [2.5, 3.5, 4.5, 5.5]
    assert [event.value for event in events.Scalars("lr-SGD")] == [1.0] * 4
    assert all(event.value > 0 for event in events.Scalars("train/samples_per_second"))


def test_weights_and_biases(logged, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    content = the_one(logged("wandb").rglob("*.wandb")).read_bytes()
    for name in ("train/count", "lr-SGD", "train/samples_per_second", "model.init_args.start"):
        assert name.encode() in content, name


def test_mlflow(logged):
    pytest.importorskip("mlflow")
    folder = logged("mlflow")
    for name in ("train/count", "lr-SGD", "train/samples_per_second"):
        assert list(folder.rglob(f"metrics/{name}")), name
    assert the_one(folder.rglob("params/model.init_args.start")).read_text() == "2.5"


class Draw(Callback):
    """Gives the loggers a picture when the training ends."""

    def on_fit_end(self, trainer, module):
        for logger in trainer.loggers:
            log_picture(logger, "samples", PICTURE, trainer.global_step)


def assert_all_is_logged(run):
    """What Lightning's logger hands on, whatever the service then makes of it."""
    assert float(run.values["model.init_args.start"]) == 2.5
    assert run.column("train/count") == [(0, 2.5), (1, 3.5), (2, 4.5), (3, 5.5)]
    assert run.column("lr-SGD") == [(step, 1.0) for step in range(4)]
    speeds = run.column("train/samples_per_second")
    assert [step for step, _ in speeds] == [1, 2, 3]
    assert all(speed > 0 for _, speed in speeds)


def test_weights_and_biases_by_a_stand_in(logged, monkeypatch):
    run = put_wandb(monkeypatch)
    logged("wandb", "Draw")
    assert_all_is_logged(run)
    ((step, (picture,)),) = run.column("samples")
    assert step == 4 and picture is PICTURE


def test_mlflow_by_a_stand_in(logged, monkeypatch):
    clients = put_mlflow(monkeypatch)
    logged("mlflow", "Draw")
    (client,) = clients
    assert client.uri == "file:runs/logs/mlflow" and client.status == "FINISHED"
    assert_all_is_logged(client)
    assert client.pictures == {"samples": (4, PICTURE)}


def test_pictures_go_to_whatever_takes_them():
    taken = []

    def note(*arguments, **options):
        taken.append((arguments, options))

    tensorboard = SimpleNamespace(experiment=SimpleNamespace(add_image=note))
    wandb = SimpleNamespace(experiment=object(), log_image=note)
    mlflow = SimpleNamespace(experiment=SimpleNamespace(log_image=note), run_id="a run")
    for logger in (tensorboard, wandb, mlflow, SimpleNamespace(experiment=object())):
        log_picture(logger, "samples", PICTURE, 7)
    first, second, third = taken
    assert first == (("samples", PICTURE, 7), {"dataformats": "HWC"})
    assert second == ((), {"key": "samples", "images": [PICTURE], "step": 7})
    assert third == (("a run", PICTURE), {"key": "samples", "step": 7})


@pytest.mark.bad_input
def test_a_refused_run_leaves_no_logs(command, mistake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "enable_progress_bar": False,
        "default_root_dir": "run",
    }
    content = {"model": MODEL, "data": DATA, "trainer": trainer}
    Path("good.yaml").write_text(yaml.safe_dump(content))
    Path("bad.yaml").write_text("trainer: {callbacks: [{class_path: ExportStudent}]}")
    refused = ["fit", "-c", "good.yaml", "-c", "bad.yaml"]
    assert "student of Counter" in mistake(*refused)
    assert not Path("run").exists()
    assert command("fit", "-c", "good.yaml").status == 0
    kept = sorted(Path("run").rglob("*"))
    assert Path("run/lightning_logs/version_0/config.yaml") in kept
    assert "student of Counter" in mistake(*refused, "--resume", "auto")
    assert sorted(Path("run").rglob("*")) == kept
