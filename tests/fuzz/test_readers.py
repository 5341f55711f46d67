"""Readers of files give a good result or the documented error, whatever the files hold.

Every input is read with an address space that leaves little more room than the program has taken
already: to ask for gigabytes fails as an error of its own.
"""

import mmap
import resource
from contextlib import contextmanager, suppress
from pathlib import Path
from time import process_time

import pytest
from hypothesis import HealthCheck, given, settings

from showo_turbo.errors import UserError, printable

from .readers import READERS

ROOM = 2**29
"""Bytes of memory that a reader may ask for; the files have some thousand."""

MOST_SECONDS = 5
"""Of the processor's time that an input may take, whatever else the machine does; usual are a few
thousandths. A reader that waits forever is ended by pytest's timeout."""

LONGEST_MESSAGE = 1200

each_reader = pytest.mark.parametrize("reader", READERS, ids=lambda r: r.name.replace(" ", "-"))


@contextmanager
def little_memory():
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def fuzz(reader, folder, **options):
    """Give a reader as many inputs as hypothesis's settings say; returns how many."""
    path = reader.prepare(folder)
    good = path.read_bytes()
    for read in reader.reads:
        path.write_bytes(good)
        with suppress(UserError):
            read(path)
    count = 0

    @settings(
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        **options,
    )
    @given(reader.contents(good))
    def check(content):
        nonlocal count
        count += 1
        for read in reader.reads:
            path.write_bytes(content)
            began = process_time()
            try:
                with little_memory():
                    read(path)
            except UserError as error:
                assert len(printable(str(error))) <= LONGEST_MESSAGE, "a message of a page"
            assert process_time() - began < MOST_SECONDS

    check()
    return count


def test_little_memory_is_little():
    # Not by malloc, which may still hold as much that earlier tests have freed.
    with pytest.raises(OSError), little_memory():
        mmap.mmap(-1, 2 * ROOM)


@each_reader
def test_only_the_documented_error_comes(reader, tmp_path):
    """A few inputs, the same in every run."""
    assert fuzz(reader, tmp_path, max_examples=60, derandomize=True, database=None) >= 20


@pytest.mark.slow
@each_reader
def test_only_the_documented_error_comes_of_new_inputs(reader, tmp_path, record_property):
    """More of them; `benchmarks/fuzz.py` asks for thousands, others in every run."""
    inputs = fuzz(reader, tmp_path)
    record_property("reader", reader.name)
    record_property("inputs", inputs)
