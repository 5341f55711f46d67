"""Settings of all tests, and the small world and models that several of them share."""

import atexit
import gc
import os
import shutil
import tempfile

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is loaded: threads of several processes on one core wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from .support.forking import forking_python

# What follows imports none of the package before it is used: the process that hands out tests to
# others needs nothing of it.

# What is remembered of files is not that of the user who tests.
os.environ["SHOWO_TURBO_CACHE"] = tempfile.mkdtemp(prefix="showo-turbo-tests-")
atexit.register(shutil.rmtree, os.environ["SHOWO_TURBO_CACHE"], ignore_errors=True)

# Imports make a million objects that stay.
gc.disable()

# The first call into a library may take long; that says nothing of the code under test.
# The same examples in every run; `benchmarks/fuzz.py` looks for new ones.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


def pytest_collection_finish():
    """Leave what was imported out of every garbage collection."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def python():
    """An interpreter that starts at once, the imports being done: see `support/forking.py`."""
    with forking_python() as script:
        yield script


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A small shapes world."""
    from showo_turbo.shapes.write import write_world

    folder = tmp_path_factory.mktemp("world") / "shapes"
    write_world(folder, images=48, documents=16, validation_images=8, seed=0, progress=False)
    return folder


@pytest.fixture(scope="session")
def random_shapes_model(tmp_path_factory):
    """A model folder for the shapes world, with random weights and hardly any width."""
    from .support.small_run import write_model

    folder = tmp_path_factory.mktemp("model")
    write_model(folder)
    return folder
