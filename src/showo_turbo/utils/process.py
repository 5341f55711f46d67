"""Settings of the running process that must be made before heavy work begins."""

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_LARGEST_MMAP_THRESHOLD = 32 * 2**20  # glibc accepts no more
_NEVER_TRIM = 2**31 - 1
_TOP_PAD = 64 * 2**20
_SPINS = 10_000


def keep_freed_memory() -> None:
    """Let glibc keep freed memory instead of giving every large buffer back to the kernel.

    Training on a CPU frees and takes buffers of megabytes in every layer; with glibc's defaults
    each of them is unmapped and page-faulted in again, which can cost more than the arithmetic. No
    effect with other C libraries, or where the user has set `MALLOC_TRIM_THRESHOLD_`.
    """
    if not sys.platform.startswith("linux") or "MALLOC_TRIM_THRESHOLD_" in os.environ:
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM)
    mallopt(_M_TOP_PAD, _TOP_PAD)


def limit_spinning() -> None:
    """Let OpenMP's threads sleep soon when they wait for one another; before torch is loaded.

    By default a thread of libgomp spins for milliseconds at every barrier. Where another process
    keeps a core busy, the thread that all wait for may be the one that has no core meanwhile. Too
    short a wait costs more where all cores are free, since sleeping threads must be woken. The
    number of threads, on which the bits of sums depend, stays as it is. No effect on other OpenMP
    libraries, or where the user has set `OMP_WAIT_POLICY` or `GOMP_SPINCOUNT`.

    Source: `benchmarks/busy_core.py`.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(_SPINS))


def import_from_working_directory() -> None:
    """Put the working directory on `sys.path`, as `python -m` does, so users' classes import."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
