"""What the README's section on inference shows runs as written."""

import shlex
from pathlib import Path

import pytest

from showo_turbo.cli.main import main

README = Path(__file__).parents[1] / "README.md"
SECTION = README.read_text(encoding="utf-8").split("\n## Inference\n")[1].split("\n## ")[0]


def blocks(language):
    """Code blocks of the section in a language, at least one."""
    found = [part.split("```")[0] for part in SECTION.split(f"```{language}\n")[1:]]
    assert found
    return found


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands(here, monkeypatch, capsys):
    for line in "".join(blocks("bash")).splitlines():
        monkeypatch.setattr("sys.argv", shlex.split(line, comments=True))
        main()
    assert len(list((here / "drawn").glob("*.png"))) == 2
    assert len((here / "answers" / "answers.jsonl").read_text().splitlines()) == 2


def test_python(here, capsys):
    for code in blocks("python"):
        exec(compile(code, "README.md", "exec"), {})
    assert (here / "circle.png").is_file()
    assert "tokens per forward pass" in capsys.readouterr().out
