"""Times several ways to do the same work, in turns, with the memory that each takes at its peak."""

import ctypes
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
        seconds: Shortest of all turns, by the clock on the wall.
        cpu_seconds: Likewise, of all threads on the processor: what other work on the machine
            hardly changes.
        peak_mib: Largest memory of the process (of the GPU, if there is one) in MiB; None where
            the system does not tell.
        result: What the work gave.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: int | None
    result: Any


def in_turns(
    ways: Mapping[str, Callable[[], Any]], repeats: int, enough: float = 120.0
) -> dict[str, Measured]:
    """Do every way's work once, then once more, ...: what else the machine does hits all alike.

    Args:
        ways: The work by name.
        repeats: Turns at most.
        enough: Seconds after which no further turn begins.
    """
    best: dict[str, Measured] = {}
    ends = time.perf_counter() + enough
    for turn in range(repeats):
        if turn and time.perf_counter() > ends:
            break
        for name, work in ways.items():
            _reset_peak()
            began, cpu_began = _now(), time.process_time()
            result = work()
            seconds, cpu_seconds = _now() - began, time.process_time() - cpu_began
            measured = Measured(seconds, cpu_seconds, _peak_mib(), result)
            best[name] = _better(best[name], measured) if name in best else measured
    return best


def _better(first: Measured, second: Measured) -> Measured:
    peaks = [peak for peak in (first.peak_mib, second.peak_mib) if peak is not None]
    return Measured(
        min(first.seconds, second.seconds),
        min(first.cpu_seconds, second.cpu_seconds),
        max(peaks, default=None),
        second.result,
    )


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _reset_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return
    with suppress(OSError, AttributeError):
        # Memory that the way before has freed is kept by glibc, and would count as used.
        ctypes.CDLL(None).malloc_trim(0)
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
