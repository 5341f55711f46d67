"""Times several ways to do the same work, in turns, with the memory that each takes at its peak."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

_RESET_PEAK = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


@dataclass
class Measured:
    """One way's best time.

    Attributes:
        seconds: Shortest of all turns.
        peak_mib: Largest memory of the process (of the GPU, if there is one) in MiB; None where
            the system does not tell.
        result: What the work gave.
    """

    seconds: float
    peak_mib: int | None
    result: Any


def in_turns(ways: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Measured]:
    """Do every way's work once, then once more, ...: what else the machine does hits all alike."""
    best: dict[str, Measured] = {}
    for _ in range(repeats):
        for name, work in ways.items():
            _reset_peak()
            began = _now()
            result = work()
            measured = Measured(_now() - began, _peak_mib(), result)
            if name in best:
                measured.seconds = min(measured.seconds, best[name].seconds)
                measured.peak_mib = measured.peak_mib and max(
                    measured.peak_mib, best[name].peak_mib or 0
                )
            best[name] = measured
    return best


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _reset_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return
    with suppress(OSError):
        _RESET_PEAK.write_text("5", encoding="ascii")  # Linux: the peak becomes what is used now


def _peak_mib() -> int | None:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() // 2**20
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), None)
