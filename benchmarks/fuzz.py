"""Gives every reader of files thousands of wrong ones, and counts them.

    python benchmarks/fuzz.py --output benchmarks/results/fuzz.json

It runs the slow form of `tests/fuzz` with more inputs, new ones every time. A reader that raised
anything but the documented error, took more memory or time than it may, or gave a senseless result,
is a crash.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from showo_turbo.evaluation.environment import provenance
from showo_turbo.utils.files import write_json

TESTS = Path(__file__).parents[1] / "tests/fuzz"


class Counter:
    """Notes what the tests say of their inputs, and which of them fail."""

    def __init__(self) -> None:
        self.inputs: dict[str, int] = {}
        self.crashes: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.crashes.append(report.nodeid.rpartition("::")[2])
        elif report.when == "call":
            noted = dict(report.user_properties)
            self.inputs[str(noted["reader"])] = int(str(noted["inputs"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=2000, help="for each reader")
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    options = parser.parse_args()
    settings.register_profile("many", max_examples=options.inputs)
    counter = Counter()
    began = time.monotonic()
    arguments = [str(TESTS), "-q", "-m", "slow", "--hypothesis-profile", "many"]
    arguments += ["--timeout", "3600"]  # on a busy machine
    status = pytest.main(arguments, plugins=[counter])
    result: dict[str, Any] = {
        "inputs": counter.inputs,
        "inputs_in_all": sum(counter.inputs.values()),
        "crashes": len(counter.crashes),
        "crashed": counter.crashes,
        "seconds": round(time.monotonic() - began, 1),
    } | provenance()
    print(json.dumps(result, indent=2))
    if options.output:
        write_json(options.output, result)
    raise SystemExit(status)


if __name__ == "__main__":
    main()
