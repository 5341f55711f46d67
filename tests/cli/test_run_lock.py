"""Two runs in one folder."""

from contextlib import ExitStack

import pytest
from lightning.pytorch import Trainer

from showo_turbo.cli import run_lock as locking
from showo_turbo.cli.run_lock import run_lock
from showo_turbo.errors import UserError
from showo_turbo.utils.lock import LOCK_NAME, folder_lock


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(locking, "PATIENCE_SECONDS", 0.0)


def trainer(folder, **options):
    return Trainer(accelerator="cpu", logger=False, default_root_dir=folder, **options)


def test_it_is_held_until_the_end(tmp_path):
    with pytest.raises(RuntimeError), run_lock(trainer(tmp_path / "run")):
        with (
            pytest.raises(UserError, match="is being written by process"),
            folder_lock(tmp_path / "run"),
        ):
            pass
        raise RuntimeError
    assert not (tmp_path / "run").exists()  # it had none before, and nothing was written


def test_what_is_left_of_a_killed_run_is_waited_for(tmp_path, monkeypatch):
    """The workers of its loaders live on for some seconds, with its lock."""
    monkeypatch.setattr(locking, "PATIENCE_SECONDS", 60.0)
    with ExitStack() as workers:
        workers.enter_context(folder_lock(tmp_path))
        monkeypatch.setattr(locking.time, "sleep", lambda seconds: workers.close())
        with run_lock(trainer(tmp_path)):
            assert (tmp_path / LOCK_NAME).exists()


def test_runs_without_a_folder_take_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with folder_lock(tmp_path), run_lock(trainer(None)), run_lock(trainer(".")):
        pass
    with folder_lock(tmp_path), run_lock(trainer(tmp_path, fast_dev_run=True)):
        pass


def test_only_the_first_process_takes_it(tmp_path, monkeypatch):
    second = trainer(tmp_path)
    monkeypatch.setattr(Trainer, "is_global_zero", property(lambda self: False))
    with folder_lock(tmp_path), run_lock(second):
        pass
