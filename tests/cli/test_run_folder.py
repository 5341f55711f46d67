import json

import pytest

from showo_turbo.cli.run_folder import SETTINGS_FILE, RunFolder
from showo_turbo.errors import UserError

SETTINGS = {"steps": 4, "model": "shapes", "prompts": "a" * 64}


def opened(folder, **changes):
    return RunFolder(folder, SETTINGS | changes, "index.jsonl", key="file")


def test_nothing_is_written_before_it_begins(tmp_path):
    folder = opened(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    folder.begin()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "index.jsonl",
        SETTINGS_FILE,
    ]


def test_notes_are_there_the_next_time(tmp_path):
    first = opened(tmp_path)
    first.begin()
    first.add([{"file": "a", "prompt": "é"}, {"file": "b"}])
    first.add([{"file": "c"}])
    second = opened(tmp_path)
    assert list(second.notes) == ["a", "b", "c"]
    assert second.notes["a"] == {"file": "a", "prompt": "é"}
    second.begin()
    second.add([{"file": "d"}])
    lines = (tmp_path / "index.jsonl").read_text().splitlines()
    assert [json.loads(line)["file"] for line in lines] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0c"])
def test_a_text_with_other_ends_of_lines_is_there_the_next_time(tmp_path, mark):
    first = opened(tmp_path)
    first.begin()
    notes = [{"file": "a", "prompt": f"one{mark}two"}, {"file": "b", "answer": mark}]
    first.add(notes)
    second = opened(tmp_path)
    assert list(second.notes.values()) == notes
    second.begin()
    assert list(opened(tmp_path).notes.values()) == notes


@pytest.mark.parametrize("torn", ['{"file": "b", "pro', '{"file": 3}\n', "\xff\xfe\n", "[]\n"])
def test_what_a_crash_left_is_dropped(tmp_path, torn):
    first = opened(tmp_path)
    first.begin()
    first.add([{"file": "a"}])
    with open(tmp_path / "index.jsonl", "a", encoding="latin-1") as file:
        file.write(torn)
    (tmp_path / ".00001.png.x1y2.tmp").write_bytes(b"half")
    second = opened(tmp_path)
    assert list(second.notes) == ["a"]
    second.begin()
    second.add([{"file": "b"}])
    lines = (tmp_path / "index.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"file": "a"}, {"file": "b"}]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.bad_input
class TestBadInput:
    def test_other_settings(self, tmp_path):
        opened(tmp_path).begin()
        with pytest.raises(UserError) as caught:
            opened(tmp_path, steps=8, prompts="b" * 64)
        message = str(caught.value)
        assert "belongs to other settings (other prompts, steps 4 instead of 8)" in message

    def test_files_of_something_else(self, tmp_path):
        (tmp_path / "thesis.tex").touch()
        with pytest.raises(UserError, match=r"holds files but no settings.json"):
            opened(tmp_path)

    def test_a_file(self, tmp_path):
        (tmp_path / "out").touch()
        with pytest.raises(UserError, match="is a file"):
            opened(tmp_path / "out")

    @pytest.mark.parametrize("content", ["", "[]", "{"])
    def test_damaged_settings(self, tmp_path, content):
        (tmp_path / SETTINGS_FILE).write_text(content)
        with pytest.raises(UserError):
            opened(tmp_path)

    def test_a_place_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").touch()
        folder = RunFolder(tmp_path / "file" / "out", SETTINGS, "index.jsonl", key="file")
        with pytest.raises(UserError, match="cannot be written"):
            folder.begin()
