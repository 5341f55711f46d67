"""Archives: unpacked once, and never outside of their folder."""

import contextlib
import zipfile

import pytest

from showo_turbo.errors import UserError
from showo_turbo.hub.archives import unpack


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("train/", "")
        opened.writestr("train/1.jpg", b"one" * 100)
        opened.writestr("train/2.jpg", b"two" * 100)
        opened.writestr("notes.txt", b"notes")
    return path


def test_all_or_what_is_wanted(archive, tmp_path):
    assert unpack(archive, tmp_path / "all") == 3
    assert (tmp_path / "all/train/2.jpg").read_bytes() == b"two" * 100
    assert unpack(archive, tmp_path / "some", ("train/*",)) == 2
    assert not (tmp_path / "some/notes.txt").exists()


def test_only_what_is_missing_is_written(archive, tmp_path):
    unpack(archive, tmp_path / "out")
    (tmp_path / "out/train/1.jpg").write_bytes(b"own" * 100)  # as large as it must be
    (tmp_path / "out/train/2.jpg").write_bytes(b"half")
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/train/1.jpg").read_bytes() == b"own" * 100
    assert (tmp_path / "out/train/2.jpg").read_bytes() == b"two" * 100


@pytest.mark.bad_input
@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt"])
def test_a_name_that_leads_out(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as opened:
        opened.writestr("good.txt", b"")
        opened.writestr(name, b"")
    with pytest.raises(UserError, match="leads out of the folder"):
        unpack(tmp_path / "bad.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.bad_input
def test_a_damaged_archive(archive, tmp_path):
    content = bytearray(archive.read_bytes())
    at = content.index(b"twotwo")
    content[at : at + 3] = b"???"
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"is damaged .*remove it"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out/train/2.jpg").exists()
    archive.write_bytes(b"not a zip")
    with pytest.raises(UserError, match="is damaged"):
        unpack(archive, tmp_path / "out")


@pytest.mark.bad_input
def test_no_damaged_byte_ends_in_a_traceback(tmp_path):
    """Whichever byte of compressed data is wrong."""
    with zipfile.ZipFile(tmp_path / "good.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a.txt", bytes(range(256)) * 4)
    content = (tmp_path / "good.zip").read_bytes()
    for at in range(30, len(content), 7):
        damaged = bytearray(content)
        damaged[at] ^= 0xFF
        (tmp_path / "bad.zip").write_bytes(damaged)
        with contextlib.suppress(UserError):
            unpack(tmp_path / "bad.zip", tmp_path / f"out{at}")
