"""Every Python and YAML block of the pages: run, imported or read."""

import sys
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from .pages import DOCS, PAGES, blocks, forget_modules, write_files

RUN_ELSEWHERE = {
    DOCS / "inference.md": "test_inference_page.py",
    DOCS / "training.md": "test_training_page.py",
    DOCS / "stories.md": "test_stories_and_clips_pages.py",
    DOCS / "clips.md": "test_stories_and_clips_pages.py",
}
"""Pages whose blocks need smaller sizes, and the tests that run them."""

SNIPPETS = [
    block for block in blocks("python") if block.file is None and block.page not in RUN_ELSEWHERE
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory in which the shapes model stands where a page has trained another."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    model = Path("runs/own/student/student")
    model.parent.mkdir(parents=True)
    model.symlink_to(str(files("showo_turbo") / "assets" / "shapes" / "showo"))
    own = set(sys.modules)
    yield tmp_path
    forget_modules(own, tmp_path)


def test_the_pages_are_found():
    assert DOCS / "start.md" in PAGES
    assert SNIPPETS and blocks("yaml")
    for page, name in RUN_ELSEWHERE.items():
        assert blocks("python", page) and Path(__file__).with_name(name).is_file()


@pytest.mark.parametrize("block", SNIPPETS, ids=str)
def test_a_snippet_runs(block, here):
    exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_file_that_a_page_shows_is_imported_or_read(page, here):
    for name in write_files(page, here):
        if name.endswith(".py"):
            module = import_module(name.removesuffix(".py").replace("/", "."))
            assert Path(module.__file__).is_relative_to(here)


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_is_read(block):
    assert isinstance(yaml.safe_load(block.text), dict)
