"""Two runs in one folder."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Timer

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


def hold(folder, is_locked, over):
    with folder_lock(folder):
        is_locked.set()
        assert over.wait(60)


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
    with ThreadPoolExecutor(1) as threads:
        is_locked, over = Event(), Event()
        threads.submit(hold, tmp_path, is_locked, over)
        assert is_locked.wait(60)
        Timer(0.2, over.set).start()
        with run_lock(trainer(tmp_path)):
            assert over.is_set() and (tmp_path / LOCK_NAME).exists()


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
