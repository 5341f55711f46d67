"""Files over HTTP: continued, checked, and never taken for whole when they are not."""

import hashlib
import os
import shutil
from types import SimpleNamespace

import pytest

from showo_turbo.errors import UserError
from showo_turbo.hub import transfer
from showo_turbo.hub.transfer import Expected, fetch

CONTENT = bytes(range(256)) * 40
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def file(web):
    web.files["/file.bin"] = CONTENT
    return f"{web.address}/file.bin"


def get(address, path, *expected, **options):
    return fetch(address, path, Expected(*expected, **options), pause=0.001)


def test_a_file_arrives(file, web, tmp_path):
    path = tmp_path / "new" / "file.bin"
    assert get(file, path, len(CONTENT), DIGEST, hashlib.md5(CONTENT).hexdigest()) == DIGEST
    assert path.read_bytes() == CONTENT
    assert os.listdir(path.parent) == ["file.bin"]


def test_one_that_breaks_off_is_continued(file, web, tmp_path):
    web.break_after = [1000, 3000]
    assert get(file, tmp_path / "file.bin") == DIGEST
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert web.ranges == [None, "bytes=1000-", "bytes=4000-"]


def test_the_same_command_goes_on(file, web, tmp_path):
    path = tmp_path / "file.bin"
    web.break_after = [1000, *[0] * transfer.ATTEMPTS]
    with pytest.raises(UserError, match=r"broke off at 1,000 bytes .*same command again"):
        get(file, path)
    assert not path.exists()
    web.ranges.clear()
    web.break_after = []
    get(file, path)
    assert web.ranges == ["bytes=1000-"]
    assert path.read_bytes() == CONTENT


def test_a_file_that_has_changed_is_begun_again(file, web, tmp_path):
    web.break_after = [1000, *[0] * transfer.ATTEMPTS]
    with pytest.raises(UserError):
        get(file, tmp_path / "file.bin")
    web.break_after = []
    web.files["/file.bin"] = b"another" * 999
    get(file, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == b"another" * 999


def test_without_a_version_it_is_begun_again(file, web, tmp_path):
    web.versioned = False
    web.break_after = [1000]
    get(file, tmp_path / "file.bin")
    assert web.ranges == [None, None]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_all_had_arrived_before_the_end_came(file, web, tmp_path):
    web.break_after = [0] * transfer.ATTEMPTS
    with pytest.raises(UserError):
        get(file, tmp_path / "file.bin")
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    web.break_after = []
    assert get(file, tmp_path / "file.bin") == DIGEST
    assert web.ranges[-1] == f"bytes={len(CONTENT)}-"


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "expected", [{"size": 5}, {"sha256": "0" * 64}, {"md5": "0" * 32}], ids=lambda e: next(iter(e))
)
def test_another_file_is_removed(file, tmp_path, expected):
    (name, value) = next(iter(expected.items()))
    with pytest.raises(UserError, match=rf"has the {name} .*expected {value}.*give the command"):
        get(file, tmp_path / "file.bin", **expected)
    assert os.listdir(tmp_path) == []


@pytest.mark.bad_input
def test_what_is_not_there_is_asked_for_once(web, tmp_path):
    with pytest.raises(UserError, match="404"):
        get(f"{web.address}/nothing", tmp_path / "file.bin")
    assert len(web.ranges) == 1
    assert not (tmp_path / "file.bin").exists()


@pytest.mark.bad_input
def test_no_server(tmp_path):
    with pytest.raises(UserError, match=r"broke off at 0 bytes .*see to the connection"):
        get("http://127.0.0.1:9/file.bin", tmp_path / "file.bin")


@pytest.mark.bad_input
def test_a_disk_that_is_too_small(file, tmp_path, monkeypatch):
    usage = SimpleNamespace(free=len(CONTENT) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="needs 10,240 bytes and the disk has 10,239"):
        get(file, tmp_path / "file.bin")
    assert not (tmp_path / "file.bin").exists()
