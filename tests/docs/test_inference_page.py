"""What the page on inference shows runs as written."""

import pytest

from showo_turbo.cli.main import main

from .pages import DOCS, blocks, commands

PAGE = DOCS / "inference.md"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands(here, monkeypatch, capsys):
    (block, *_) = blocks("bash", PAGE)
    shown = [command for command in commands() if command.block == block]
    assert len(shown) == 4
    for command in shown:
        monkeypatch.setattr("sys.argv", list(command.words))
        main()
    assert len(list((here / "drawn").glob("*.png"))) == 2
    assert len((here / "answers" / "answers.jsonl").read_text().splitlines()) == 2
    assert list((here / "wider").glob("*.png")) and list((here / "edited").glob("*.png"))


def test_python(here, capsys):
    (block,) = blocks("python", PAGE)
    exec(compile(block.text, str(block), "exec"), {})
    assert (here / "circle.png").is_file()
    assert "tokens per forward pass" in capsys.readouterr().out
