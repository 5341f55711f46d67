"""What the page on inference shows in Python runs as written."""

import pytest

from .pages import DOCS, blocks

PAGE = DOCS / "inference.md"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python(here, capsys):
    (block,) = blocks("python", PAGE)
    exec(compile(block.text, str(block), "exec"), {})
    assert (here / "circle.png").is_file()
    assert "tokens per forward pass" in capsys.readouterr().out
