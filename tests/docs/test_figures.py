"""What the pages take from files is what the files hold."""

import json
import sys
from importlib import import_module

import pytest
import yaml

from showo_turbo import __all__ as main_classes
from showo_turbo.version import __version__

from .pages import DOCS, ROOT


@pytest.fixture
def readme_figures(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "tools"))
    yield import_module("readme_figures")
    sys.modules.pop("readme_figures")


def test_the_readme_has_the_figures_of_the_report(readme_figures):
    report = json.loads(readme_figures.REPORT.read_text())
    readme = readme_figures.README.read_text(encoding="utf-8")
    assert readme_figures.with_figures(readme, readme_figures.figures(report)) == readme, (
        "run python docs/tools/readme_figures.py"
    )


def test_figures_by_hand(readme_figures):
    """Of a report that is small enough to look at."""

    def image(model, steps, score, seconds):
        common = {"n": 10, "ci95": [score - 0.1, score + 0.1], "model": model, "steps": steps}
        return common | {"score": score, "seconds_per_image": seconds}

    def text(model, decoding, speed):
        common = {"model": model, "decoding": decoding, "tokens_per_second": speed}
        return common | {"exact_match": 0.5, "tokens_per_forward": 3.0}

    found = readme_figures.figures(
        {
            "hardware": "a machine",
            "images": [
                image("teacher", 16, 0.8, 0.08),
                image("teacher", 4, 0.2, 0.02),
                *(image("student", steps, 0.6, 0.01) for steps in (4, 2, 1)),
            ],
            "unseen_combinations": [image("teacher", 16, 0.7, 0), image("student", 4, 0.3, 0)],
            "text": [
                text("teacher", "ar", 9),
                text("student", "ar", 10),
                text("student", "jacobi", 25),
            ],
        }
    )
    assert "keeps 75% of that in 4 steps without guidance, **8 times faster**" in found
    assert "3.0 tokens a forward pass instead of one, **2.5 times faster**" in found
    assert "30% in 4 steps, where the teacher satisfies 70% in 16." in found
    assert "|  | 4 steps |" in found
    assert "| teacher: milliseconds an image | 20.0 |" in found


def test_the_readme_is_short():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 130


def test_the_citation_is_of_this_version():
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert found["version"] == __version__
    assert found["cff-version"] == "1.2.0" and found["authors"] and found["message"]


def test_the_api_page_has_every_main_class():
    """Each is a member of one of the modules that the page shows."""
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    shown = [line.split()[-1] for line in page.splitlines() if "automodule::" in line]
    assert len(shown) > 20
    members = {name for module in shown for name in vars_of(import_module(module))}
    assert set(main_classes) - {"__version__"} <= members


def vars_of(module):
    return getattr(module, "__all__", None) or vars(module)
