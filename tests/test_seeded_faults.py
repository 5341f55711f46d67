"""The faults that `benchmarks/seeded_faults.py` plants can be planted; finding them takes long."""

from collections import Counter

import pytest

from .support.loading import ROOT, load_script

seeded_faults = load_script("benchmarks/seeded_faults.py")


def test_there_are_thirty_of_names_of_their_own():
    names = Counter(fault.name for fault in seeded_faults.FAULTS)
    assert len(names) >= 30 and set(names.values()) == {1}


@pytest.mark.parametrize("fault", seeded_faults.FAULTS, ids=lambda fault: fault.name)
def test_a_fault_has_its_place_and_its_tests(fault):
    text = seeded_faults.place_of(fault.old).read_text()
    assert compile(text.replace(fault.old, fault.new), fault.name, "exec")
    assert all((ROOT / "tests" / name).exists() for name in fault.tests)
