import json
import logging
import multiprocessing
import os
import signal
import threading
import time

import pytest

from showo_turbo.errors import UserError
from showo_turbo.utils.lock import LOCK_NAME, OWNER_SUFFIX, folder_lock

NOTE_NAME = LOCK_NAME + OWNER_SUFFIX
FORK = multiprocessing.get_context("fork")


def hold(folder, ready):
    with folder_lock(folder):
        ready.set()
        time.sleep(600)


@pytest.fixture
def owner(tmp_path):
    """Another process that holds the folder."""
    ready = FORK.Event()
    process = FORK.Process(target=hold, args=(tmp_path, ready), daemon=True)
    process.start()
    assert ready.wait(60)
    yield process
    process.kill()
    process.join()


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def test_nothing_is_left_when_it_is_over(tmp_path):
    with folder_lock(tmp_path):
        note = json.loads((tmp_path / NOTE_NAME).read_text())
        assert note["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_living_owner_is_named_with_the_locks_age(tmp_path, owner):
    path = tmp_path / NOTE_NAME
    note = json.loads(path.read_text())
    path.write_text(json.dumps(note | {"since": note["since"] - 3723}))
    with (
        pytest.raises(UserError, match=rf"process {owner.pid} on .*, begun 1:02:0\d ago") as error,
        folder_lock(tmp_path),
    ):
        pass
    assert "\n" not in str(error.value)
    assert owner.is_alive()


def test_a_dead_owners_lock_is_taken_over_and_said(tmp_path, owner, caplog):
    kill(owner)
    assert (tmp_path / LOCK_NAME).exists() and (tmp_path / NOTE_NAME).exists()
    with caplog.at_level(logging.WARNING), folder_lock(tmp_path):
        pass
    assert f"taking over from process {owner.pid} on" in caplog.text
    assert "which has died" in caplog.text
    caplog.clear()
    with folder_lock(tmp_path):
        pass
    assert not caplog.text


@pytest.mark.parametrize("note", ["", "{", "[]", "[" * 9999, '{"since": "noon"}', '{"since": NaN}'])
def test_a_note_that_says_nothing_readable_is_no_obstacle(tmp_path, note):
    (tmp_path / NOTE_NAME).write_text(note)
    with folder_lock(tmp_path):
        assert json.loads((tmp_path / NOTE_NAME).read_text())["pid"] == os.getpid()


@pytest.mark.bad_input
@pytest.mark.parametrize("name", [LOCK_NAME, NOTE_NAME])
@pytest.mark.parametrize("kind", ["link", "hard link", "folder", "pipe"])
def test_a_lock_that_is_another_file_is_refused_and_left_alone(tmp_path, kind, name):
    precious = tmp_path / "precious.json"
    precious.write_text("precious")
    (tmp_path / "store").mkdir()
    path = tmp_path / "store" / name
    if kind == "link":
        path.symlink_to(precious)
    elif kind == "hard link":
        path.hardlink_to(precious)
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(UserError, match="is a link or no file") as error, folder_lock(path.parent):
        pass
    assert "\n" not in str(error.value)
    assert precious.read_text() == "precious"


def test_it_is_free_again_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), folder_lock(tmp_path):
        raise RuntimeError
    with folder_lock(tmp_path):
        pass


def test_it_is_waited_for_and_that_is_said(tmp_path, owner, caplog):
    release = threading.Timer(2.0, kill, [owner])
    release.start()
    with folder_lock(tmp_path, wait_s=60):
        pass
    release.join()
    assert f"is locked by process {owner.pid} on" in caplog.text
    assert "; waiting at most 60 s" in caplog.text
