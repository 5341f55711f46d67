"""`fit --resume auto` and `--ckpt_path`, on a module that trains next to nothing."""

import logging
import os
import shutil
import warnings

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint

from showo_turbo.cli import run_lock
from showo_turbo.utils.lock import LOCK_NAME, folder_lock

from ..support.counter import DATA, MODEL, Counter

TRAINER = {
    "accelerator": "cpu",
    "logger": False,
    "max_epochs": 3,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


@pytest.fixture
def fit(command, tmp_path):
    def run(*options, epochs=3):
        checkpoint = {
            "class_path": "ModelCheckpoint",
            "init_args": {
                "dirpath": str(tmp_path / "run/checkpoints"),
                "save_last": True,
                "save_top_k": -1,
                "every_n_epochs": 1,
            },
        }
        trainer = TRAINER | {
            "default_root_dir": str(tmp_path / "run"),
            "max_epochs": epochs,
            "callbacks": [checkpoint],
        }
        content = {
            "model": MODEL,
            "data": DATA,
            "trainer": trainer,
        }
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
        return command("fit", "-c", tmp_path / "config.yaml", *options)

    return run


def checkpoints(tmp_path):
    return sorted((tmp_path / "run/checkpoints").glob("*.ckpt"))


def steps(path):
    return torch.load(path, weights_only=True)["global_step"]


@pytest.fixture
def said(caplog, monkeypatch):
    """What Lightning's logger for the first process said; its handlers are not pytest's."""
    logger = logging.getLogger("lightning.pytorch")
    monkeypatch.setattr(logger, "propagate", True)
    caplog.set_level(logging.INFO)
    return caplog


def test_without_a_checkpoint_it_starts_afresh(fit, tmp_path, said):
    assert fit("--resume", "auto").status == 0
    assert "starting afresh" in said.text
    assert steps(tmp_path / "run/checkpoints/last.ckpt") == 12


def test_it_continues_from_the_newest(fit, tmp_path, said):
    fit(epochs=1)
    leftover = tmp_path / "run/checkpoints/.last.ckpt.x1y2.tmp"
    leftover.write_bytes(b"half")
    assert fit("--resume", "auto").status == 0
    assert f"resuming from {tmp_path}/run/checkpoints/last.ckpt" in said.text
    last = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == last["state_dict"]["count"] == 12
    assert not leftover.exists()


def test_a_changed_learning_rate_is_said(fit, tmp_path):
    assert fit("--model.init_args.lr", "1.0", epochs=1).status == 0
    said = "model.init_args.lr is 2 instead of 1: the optimizer goes on with the learning rate of"
    for epochs in (2, 3):  # the second time, too
        with pytest.warns(UserWarning, match=said):
            fit("--resume", "auto", "--model.init_args.lr", "2.0", epochs=epochs)
    last = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert last["state_dict"]["count"] == last["global_step"] == 12
    with warnings.catch_warnings(record=True) as seen:
        assert fit("--resume", "auto", "--model.init_args.lr", "1.0", epochs=4).status == 0
    assert not any("learning rate" in str(entry.message) for entry in seen)


@pytest.mark.parametrize("damage", ["truncated", "empty", "no run"])
def test_a_damaged_newest_is_reported_and_the_one_before_is_used(fit, tmp_path, said, damage):
    fit(epochs=2)
    newest = tmp_path / "run/checkpoints/last.ckpt"
    data = newest.read_bytes()
    if damage == "no run":
        torch.save({"state_dict": {}}, newest)
    else:
        newest.write_bytes(data[: len(data) // 2 if damage == "truncated" else 0])
    assert fit("--resume", "auto").status == 0
    assert f"{newest} " in said.text and "going back to the one before it" in said.text
    assert "resuming from" in said.text and "epoch=1-step=8.ckpt" in said.text
    assert max(map(steps, set(checkpoints(tmp_path)) - {newest})) == 12


def test_the_newest_is_the_one_written_last(fit, tmp_path, said):
    """A run that went back to an earlier checkpoint goes on from there."""
    fit(epochs=2)
    earlier = tmp_path / "run/checkpoints/epoch=0-step=4.ckpt"
    os.utime(earlier)
    fit("--resume", "auto")
    assert f"resuming from {earlier}" in said.text


def test_a_link_to_the_last_one_is_followed(fit, tmp_path, said):
    fit(epochs=1)
    last = tmp_path / "run/checkpoints/last.ckpt"
    last.unlink()
    last.symlink_to("epoch=0-step=4.ckpt")
    (tmp_path / "run/checkpoints/dangling.ckpt").symlink_to("none.ckpt")
    assert fit("--resume", "auto").status == 0
    assert "epoch=0-step=4.ckpt" in said.text


class TestNamedCheckpoints:
    def test_the_last_is_the_newest_of_the_run(self, fit, tmp_path, said):
        fit(epochs=1)
        newest = tmp_path / "run/elsewhere/last-v1.ckpt"
        newest.parent.mkdir()
        shutil.copy(tmp_path / "run/checkpoints/last.ckpt", newest)
        assert fit("--ckpt_path", "last").status == 0
        assert f"Restored all states from the checkpoint at {newest}" in said.text

    @pytest.mark.parametrize("name", ["http.ckpt", "a:b.ckpt", "a::b.ckpt", "registry:a"])
    def test_a_file_may_have_any_name(self, fit, tmp_path, said, monkeypatch, name):
        monkeypatch.chdir(tmp_path)
        fit(epochs=1)
        (tmp_path / "run/checkpoints/last.ckpt").rename(name)
        result = fit("--ckpt_path", name)
        assert result.status == 0, result.errors
        assert f"Restored all states from the checkpoint at {tmp_path / name}" in said.text

    def test_a_file_of_any_name_is_checked(self, fit, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "a:b.ckpt").write_bytes(b"no checkpoint")
        result = fit("--ckpt_path", "a:b.ckpt")
        assert result.status == 2
        assert "a:b.ckpt is not a complete checkpoint" in result.errors

    def test_a_failure_after_restoring_is_not_the_checkpoint_s(self, fit, tmp_path, monkeypatch):
        fit(epochs=1)

        def training_step(self, batch, batch_index):
            raise KeyError("a bug")

        monkeypatch.setattr(Counter, "training_step", training_step)
        with pytest.raises(KeyError, match="a bug"):
            fit("--ckpt_path", "last")


def test_a_run_holds_its_folder(fit, tmp_path, monkeypatch):
    step = Counter.training_step

    def training_step(self, batch, batch_index):
        assert (tmp_path / "run" / LOCK_NAME).exists()
        return step(self, batch, batch_index)

    monkeypatch.setattr(Counter, "training_step", training_step)
    assert fit(epochs=1).status == 0
    assert not (tmp_path / "run" / LOCK_NAME).exists()


@pytest.mark.bad_input
class TestMistakes:
    def test_a_second_run(self, fit, tmp_path, monkeypatch):
        """Refused before it clears away what the first one is just writing."""
        monkeypatch.setattr(run_lock, "PATIENCE_SECONDS", 0.0)
        writing = tmp_path / "run/checkpoints/.last.ckpt.x1y2.tmp"
        writing.parent.mkdir(parents=True)
        writing.write_bytes(b"half")
        with folder_lock(tmp_path / "run"):
            for options in ((), ("--resume", "auto")):
                result = fit(*options)
                assert result.status == 2
                line = result.errors.strip().splitlines()[-1]
                assert f"{tmp_path / 'run'} is being written by process {os.getpid()} on" in line
        assert list(writing.parent.iterdir()) == [writing]

    def test_no_good_checkpoint(self, fit, tmp_path):
        """Starting afresh would train over what can perhaps be saved."""
        fit(epochs=1)
        first, second = checkpoints(tmp_path)
        first.write_bytes(b"no checkpoint")
        content = torch.load(second, weights_only=True)
        content["state_dict"]["count"].fill_(float("nan"))
        torch.save(content, second)
        before = first.read_bytes(), second.read_bytes()
        result = fit("--resume", "auto")
        assert result.status == 2
        line = result.errors.strip().splitlines()[-1]
        assert f"{first} is not a complete checkpoint" in line
        assert f"{second} holds NaN or infinite weights in count" in line
        assert f"move {tmp_path / 'run'} away" in line and "leave out --resume" in line
        assert (first.read_bytes(), second.read_bytes()) == before

    def test_what_a_callback_cannot_restore(self, fit, tmp_path, monkeypatch):
        fit(epochs=1)

        def load_state_dict(self, state):
            raise TypeError("a is no round")

        monkeypatch.setattr(ModelCheckpoint, "load_state_dict", load_state_dict)
        for options in (("--ckpt_path", "last"), ("--resume", "auto")):
            result = fit(*options)
            assert result.status == 2
            assert "last.ckpt cannot be restored (TypeError: a is no round)" in result.errors

    def test_a_checkpoint_beside_it(self, fit):
        result = fit("--resume", "auto", "--ckpt_path", "last")
        assert result.status == 2
        assert "--resume auto and --ckpt_path last contradict each other" in result.errors

    def test_another_value(self, fit):
        result = fit("--resume", "maybe")
        assert result.status == 2
        assert "maybe" in result.errors and "auto" in result.errors

    def test_a_run_without_a_folder(self, fit, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        result = fit("--resume", "auto", "--trainer.default_root_dir", "null")
        assert result.status == 2
        assert "give the run a folder of its own" in result.errors


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("default_root_dir", "s3://bucket/run", "s3://bucket/run is an address; expected a folder"),
        ("default_root_dir", "memory://run", "memory://run is an address; expected a folder"),
        ("overfit_batches", "1", "overfit_batches is 1, but the data modules draw other samples"),
    ],
)
def test_what_no_run_can_do_is_refused_before_anything_is_written(
    fit, tmp_path, monkeypatch, option, value, message
):
    monkeypatch.chdir(tmp_path)
    result = fit(f"--trainer.{option}", value)
    assert result.status == 2
    assert message in result.errors.strip().splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.bad_input
def test_a_new_run_does_not_write_over_another(fit, tmp_path):
    assert fit(epochs=1).status == 0
    before = {path: path.read_bytes() for path in checkpoints(tmp_path)}
    again = fit(epochs=1)
    assert again.status == 2
    *_, last = again.errors.strip().splitlines()
    assert "run holds a run already, with the checkpoint" in last
    assert "--resume auto" in last and "--trainer.default_root_dir" in last
    assert {path: path.read_bytes() for path in checkpoints(tmp_path)} == before
