import threading
import time

import pytest

from showo_turbo.errors import UserError
from showo_turbo.shapes.written_once import write_once

WANTED = {"version": 1, "seed": 0}


def test_one_writes_and_the_others_wait(tmp_path):
    """Whoever returns finds all that is to be there."""
    folder, written, found = tmp_path / "data", [], []

    def write():
        written.append(1)
        time.sleep(0.2)
        (folder / "a.txt").write_text("all of it")

    def ask():
        write_once(folder, "note.json", WANTED, "data", write)
        found.append((folder / "a.txt").read_text())

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 1 and found == ["all of it"] * 3
    assert {path.name for path in folder.iterdir()} == {"a.txt", "note.json"}


def test_what_was_interrupted_is_written_again(tmp_path):
    def broken():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_once(tmp_path, "note.json", WANTED, "data", broken)
    written = []
    write_once(tmp_path, "note.json", WANTED, "data", lambda: written.append(1))
    assert written and (tmp_path / "note.json").exists()


@pytest.mark.bad_input
def test_other_folders(tmp_path):
    write_once(tmp_path / "data", "note.json", WANTED, "clips", lambda: None)
    with pytest.raises(UserError, match=r"holds other clips .* name another folder or delete"):
        write_once(tmp_path / "data", "note.json", {"seed": 1}, "clips", lambda: None)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file cannot be written .* name another folder"):
        write_once(tmp_path / "file", "note.json", WANTED, "clips", lambda: None)
