import json

import pytest

from showo_turbo.errors import UserError
from showo_turbo.utils.files import read_json, write_json
from showo_turbo.utils.text_files import read_lines, read_notes, read_text

BOM = b"\xef\xbb\xbf"
NOT_NEWLINES = ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"]
"""What `str.splitlines` takes for the end of a line, and JSON Lines do not."""


@pytest.mark.parametrize("mark", [b"", BOM])
def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path, mark):
    (tmp_path / "a.txt").write_bytes(mark + "é\nb\n".encode())
    assert read_text(tmp_path / "a.txt") == "é\nb\n"
    (tmp_path / "a.json").write_bytes(mark + b'{"a": 1}')
    assert read_json(tmp_path / "a.json") == {"a": 1}
    (tmp_path / "a.jsonl").write_bytes(mark + b'{"a": 1}\n{"a": 2}\n')
    assert read_notes(tmp_path / "a.jsonl") == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_any_system_ends_them(tmp_path, end):
    (tmp_path / "a.txt").write_bytes(end.join(["one", "", " two ", ""]).encode())
    assert read_lines(tmp_path / "a.txt") == [(1, "one"), (3, "two")]


@pytest.mark.parametrize("mark", NOT_NEWLINES)
def test_nothing_else_ends_a_line(tmp_path, mark):
    assert len(f"a{mark}b".splitlines()) == 2
    values = [{"text": f"a{mark}b"}, {"text": "c"}]
    lines = [json.dumps(value, ensure_ascii=False) for value in values]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert read_notes(tmp_path / "a.jsonl") == values
    (tmp_path / "a.txt").write_text(f"a{mark}b\nc\n", encoding="utf-8")
    assert read_lines(tmp_path / "a.txt") == [(1, f"a{mark}b"), (2, "c")]


def test_notes_that_a_crash_cut_short_are_left_out(tmp_path):
    assert read_notes(tmp_path / "none.jsonl") == []
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n{"a": \n\xff\n3\n{"b')
    assert read_notes(tmp_path / "a.jsonl") == [{"a": 1}, 3]


def test_what_is_written_has_no_mark(tmp_path):
    write_json(tmp_path / "a.json", [1])
    assert not (tmp_path / "a.json").read_bytes().startswith(BOM)


@pytest.mark.bad_input
def test_mistakes_are_explained(tmp_path):
    with pytest.raises(UserError, match=r"none\.txt does not exist"):
        read_text(tmp_path / "none.txt")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"a\.txt cannot be read .* expected text, restore it"):
        read_lines(tmp_path / "a.txt")
