import json

import pytest

from showo_turbo.training.incident import INCIDENT_FILE, batch_files, batch_name


def write(folder, names, **incident):
    for name in names:
        (folder / name).write_bytes(b"")
    (folder / INCIDENT_FILE).write_text(json.dumps(incident))


def names(folder):
    return [path.name for path in batch_files(folder)]


def test_batches_come_process_after_process(tmp_path):
    places = [(0, 9), (0, 10), (1, 9), (1, 10)]
    write(tmp_path, [batch_name(*p) for p in reversed(places)], processes=2, batches=[9, 10])
    assert names(tmp_path) == [batch_name(*place) for place in places]


def test_batches_of_an_earlier_incident_at_the_same_step_are_left_out(tmp_path):
    """It was met with two processes, and again with one that makes a step of another batch."""
    write(tmp_path, [batch_name(0, 3), batch_name(1, 3)], processes=2, batches=[3])
    write(tmp_path, [batch_name(0, 6)], processes=1, batches=[6])
    assert names(tmp_path) == [batch_name(0, 6)]


@pytest.mark.parametrize(
    "incident", [{}, {"processes": 1}, {"processes": "one", "batches": [0]}, {"batches": 3}]
)
def test_an_incident_that_does_not_say_has_all_there_are(tmp_path, incident):
    write(tmp_path, [batch_name(0, 0), batch_name(1, 0), "batch-x.safetensors"], **incident)
    assert names(tmp_path) == [batch_name(0, 0), batch_name(1, 0)]
