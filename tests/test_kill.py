"""Runs that are killed end in the same bits; the long form is `benchmarks/chaos.py`."""

from collections import Counter

import pytest

from .support import killing, outcome, small_run

IN_ORDER = [
    "data generation",
    "collecting",
    "training mid-epoch",
    "checkpoint writing",
    "last batch of an epoch",
    "validation",
    "change of stage",
]
"""As a run meets them first, so that each comes however far the one before has set it back."""


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """A run that is left alone, and what it ends in.

    Its interpreter is another than that of the killed ones, so sets have another order in it.
    """
    folder = tmp_path_factory.mktemp("chaos")
    small_run.write_model(folder / "model")
    run = killing.Run(folder / "left-alone", folder / "model")
    assert run.start_and_kill(None)
    return run, outcome.contents(run.folder)


def killed(calm, python, *moments):
    """A run that is killed at these moments, and then left to end."""
    run = killing.Run(calm.folder.with_name(f"killed-{len(moments)}-times"), calm.model, python)
    for moment in moments:
        assert not run.start_and_kill(moment)
    assert run.start_and_kill(None)
    return run


def test_what_a_run_ends_in_is_all_there(calm):
    _, found = calm
    kinds = Counter(name.split("/")[0].split(":")[0].split(" ")[0] for name in found)
    assert kinds["world"] > 200 and kinds["student"] == 7
    assert {f"curriculum/round-{r}/{part}" for r in (0, 1) for part in ("images", "texts")} <= {
        name.rpartition("/")[0] for name in found
    }
    steps = {name.rpartition(" ")[2] for name in found if name.startswith("train/loss at")}
    assert steps == set(map(str, range(int(found["checkpoint: global_step"]))))


def test_killed_in_every_phase(calm, python):
    run, expected = calm
    moments = [killing.Moment(phase, 1, run.seconds[phase] / 2) for phase in IN_ORDER]
    again = killed(run, python, *moments)
    assert outcome.unequal(expected, outcome.contents(again.folder)) == []


def test_all_phases_are_known():
    assert sorted(IN_ORDER) == sorted(killing.PHASES)


def test_a_difference_would_be_found(calm):
    _, expected = calm
    name = next(name for name in expected if name.startswith("train/loss at"))
    changed = expected | {name: expected[name] + " and 0.5"}
    assert outcome.unequal(expected, changed) == [name]
    assert outcome.unequal(expected, {k: v for k, v in expected.items() if k != name}) == [name]
