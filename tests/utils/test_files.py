import os
import stat

import pytest

from showo_turbo.errors import UserError
from showo_turbo.utils.files import read_json, sha256_of, write_atomically, write_json


class TestWriteAtomically:
    def test_appears_whole_and_only_at_the_end(self, tmp_path):
        path = tmp_path / "deep" / "file.txt"
        with write_atomically(path) as temporary:
            temporary.write_text("first")
            assert temporary.parent == path.parent
            assert not path.exists()
        assert path.read_text() == "first"
        assert list(path.parent.iterdir()) == [path]

    def test_a_failure_leaves_the_old_file(self, tmp_path):
        path = tmp_path / "file.txt"
        path.write_text("old")
        with pytest.raises(RuntimeError), write_atomically(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_an_interruption_leaves_nothing(self, tmp_path):
        with pytest.raises(KeyboardInterrupt), write_atomically(tmp_path / "file") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt
        assert list(tmp_path.iterdir()) == []

    def test_permissions_follow_the_umask(self, tmp_path):
        before = os.umask(0o027)
        try:
            with write_atomically(tmp_path / "file") as temporary:
                temporary.write_text("text")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


class TestJSON:
    def test_round_trip(self, tmp_path):
        value = {"name": "é", "numbers": [1, 2.5, None, True]}
        write_json(tmp_path / "value.json", value)
        assert read_json(tmp_path / "value.json") == value
        assert (tmp_path / "value.json").read_text().endswith("}\n")

    def test_a_value_that_is_no_json_leaves_the_old_file(self, tmp_path):
        write_json(tmp_path / "value.json", 1)
        with pytest.raises(TypeError):
            write_json(tmp_path / "value.json", {1, 2})
        assert read_json(tmp_path / "value.json") == 1

    @pytest.mark.bad_input
    def test_missing(self, tmp_path):
        with pytest.raises(UserError, match="does not exist"):
            read_json(tmp_path / "none.json")

    @pytest.mark.bad_input
    @pytest.mark.parametrize("content", [b"", b"{", b"[1,", b"nonsense", b"[" * 100_000])
    def test_not_json(self, tmp_path, content):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(UserError, match=r"bad.json is not valid JSON"):
            read_json(tmp_path / "bad.json")

    @pytest.mark.bad_input
    @pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x80"])
    def test_not_text(self, tmp_path, content):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(UserError, match=r"bad.json cannot be read"):
            read_json(tmp_path / "bad.json")

    @pytest.mark.bad_input
    def test_a_folder(self, tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            read_json(tmp_path)

    @pytest.mark.bad_input
    @pytest.mark.timeout(60)
    def test_what_never_ends(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.json")
        (tmp_path / "zero.json").symlink_to("/dev/zero")
        for name in ("pipe.json", "zero.json"):
            with pytest.raises(UserError, match="is not a regular file"):
                read_json(tmp_path / name)

    @pytest.mark.bad_input
    def test_more_than_any_annotations(self, tmp_path):
        with open(tmp_path / "sparse.json", "wb") as file:
            file.truncate(2**42)
        with pytest.raises(UserError, match="has 4,398,046,511,104 bytes"):
            read_json(tmp_path / "sparse.json")

    def test_a_link_to_a_file(self, tmp_path):
        write_json(tmp_path / "value.json", 1)
        (tmp_path / "link.json").symlink_to("value.json")
        assert read_json(tmp_path / "link.json") == 1


def test_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(tmp_path / "file") == expected
