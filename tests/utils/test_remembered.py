"""What is remembered of files, until one of them changes."""

import os
import time

import pytest

from showo_turbo.utils.remembered import CACHE_VARIABLE, Remembered, cache_folder, remembered

HOUR = 3600


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def settled(monkeypatch):
    """It is an hour later."""
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + HOUR * 10**9)


def files(folder, *contents):
    paths = [folder / f"{number}.bin" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


def asked(paths, about="sum"):
    """What is found out, and whether it had to be."""
    calls = []
    found = remembered(
        paths, about, lambda: calls.append(1) or str([p.stat().st_size for p in paths])
    )
    return found, bool(calls)


def test_it_is_found_out_once(folder, settled):
    paths = files(folder, b"a", b"bc")
    assert [asked(paths) for _ in range(3)] == [
        ("[1, 2]", True),
        ("[1, 2]", False),
        ("[1, 2]", False),
    ]
    assert asked(paths, "something else") == ("[1, 2]", True)
    assert asked(paths[:1]) == ("[1]", True)


def test_a_change_is_seen_even_where_times_are_set_back(folder, settled):
    paths = files(folder, b"a", b"bc")
    asked(paths)
    before = paths[0].stat()
    time.sleep(0.02)
    paths[0].write_bytes(b"z")
    os.utime(paths[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert asked(paths)[1]
    assert not asked(paths)[1]
    paths[1].unlink()
    assert Remembered(paths, "sum").get() is None


def test_files_that_have_only_just_changed_are_looked_at_again(folder):
    paths = files(folder, b"a")
    assert [asked(paths)[1] for _ in range(2)] == [True, True]


def test_what_changes_meanwhile_is_not_remembered(folder, settled):
    paths = files(folder, b"a")
    note = Remembered(paths, "sum")
    paths[0].write_bytes(b"longer")
    note.set("1")
    assert Remembered(paths, "sum").get() is None


@pytest.mark.bad_input
def test_nowhere_to_remember_it(folder, monkeypatch, settled):
    paths = files(folder, b"a")
    (folder / "file").touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(folder / "file"))
    assert cache_folder().is_dir() and cache_folder() != folder / "file"
    assert cache_folder() == cache_folder()
    assert [asked(paths)[1] for _ in range(2)] == [True, False]  # while the process lives
