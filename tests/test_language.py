"""The words of messages, docstrings, configurations and pages."""

import ast
import io
import re
import tokenize
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "callbacks", "configs", "docs", "examples", "benchmarks", "recipes")
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md")
FILES = [
    path
    for path in (*PAGES, *(p for name in FOLDERS for p in (ROOT / name).rglob("*")))
    if path.suffix in (".py", ".yaml", ".md") and "results" not in path.parts
]


def avoided():
    """The regular expressions of the table in CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text[text.index("| avoid (regular expression)") :]
    return [found.replace(r"\|", "|") for found in re.findall(r"^\| `(.+?)` \|", table, re.M)]


@cache
def prose():
    """File, number and text of every line that a person reads."""
    return [(path, number, line) for path in FILES for number, line in prose_of(path)]


def prose_of(path):
    """Lines of a file that a person reads, by number: in Python, strings and comments only."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(text.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, " ".join(node.value.split())


def test_the_table_is_read():
    assert len(avoided()) >= 10
    assert any(re.search(pattern, "the run is begun anew") for pattern in avoided())
    assert len(FILES) > 100


@pytest.mark.parametrize("pattern", avoided())
def test_no_file_has_a_phrase_to_avoid(pattern):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line[:120]}"
        for path, number, line in prose()
        if re.search(pattern, line, re.IGNORECASE)
    ]
    assert not found, "\n".join(found)
