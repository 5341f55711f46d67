"""Settings of the running process that must be made before heavy work begins."""

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_LARGEST_MMAP_THRESHOLD = 32 * 2**20  # glibc refuses more
_NEVER_TRIM = 2**31 - 1
_TOP_PAD = 64 * 2**20


def keep_freed_memory() -> None:
    """Let glibc keep freed memory instead of giving every large buffer back to the kernel.

    Training on a CPU frees and takes buffers of megabytes in every layer; with glibc's defaults
    each of them is unmapped and page-faulted in anew, which can cost more than the arithmetic. No
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


def import_from_working_directory() -> None:
    """Put the working directory on `sys.path`, as `python -m` does, so users' classes import."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
