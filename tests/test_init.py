"""The main classes by their short names."""

import subprocess
import sys
from importlib import import_module

import pytest

import showo_turbo
from showo_turbo.training import ShowoTurbo

CLASSES = [name for name in showo_turbo.__all__ if name != "__version__"]


@pytest.mark.parametrize("name", CLASSES)
def test_a_main_class_is_the_one_of_its_module(name):
    found = getattr(showo_turbo, name)
    assert found.__name__ == name
    assert getattr(import_module(found.__module__), name) is found


def test_they_are_imported_and_offered_like_any_name():
    from showo_turbo import ShowoTurbo as short

    assert short is ShowoTurbo
    assert set(CLASSES) < set(dir(showo_turbo))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"attribute.*ShowTurbo"):
        showo_turbo.ShowTurbo  # noqa: B018


NOT_IMPORTED = """
import importlib, sys
for modules, unneeded in (
    ("showo_turbo showo_turbo.cli.main", "torch"),
    ("showo_turbo.inference", "lightning"),
    ("showo_turbo.evaluation", "open_clip"),
):
    for name in modules.split():
        importlib.import_module(name)
    assert unneeded not in sys.modules, f"{modules} imports {unneeded}"
"""


def test_what_is_not_needed_is_not_imported():
    done = subprocess.run([sys.executable, "-c", NOT_IMPORTED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
