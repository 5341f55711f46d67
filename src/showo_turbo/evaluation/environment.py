"""Where figures were measured: the hardware and the version of the code."""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from ..version import __version__


def provenance(
    arguments: Sequence[str] | None = None, device: torch.device | None = None
) -> dict[str, str]:
    """What every file of results says of itself: the command, the hardware and the version.

    Absolute paths, which name folders of one machine, are cut to their last part, or to what is
    below the working directory.

    Args:
        arguments: The command line of the Python script; that of this process by default.
        device: Where the models run; the CPU by default.
    """
    given = sys.argv if arguments is None else arguments
    return {
        "command": " ".join(["python", *map(_of_any_machine, given)]),
        "hardware": describe_hardware(device),
        "version": source_version(),
    }


def _of_any_machine(argument: str) -> str:
    """An argument of a command line; of an absolute path, what is not of this machine alone."""
    path = Path(argument)
    if not path.is_absolute():
        return argument
    below = path.is_relative_to(Path.cwd())
    return str(path.relative_to(Path.cwd())) if below else path.name


def describe_hardware(device: torch.device | None = None) -> str:
    """Name the processor, its usable cores and the memory, and the GPU if it is one.

    Args:
        device: Where the models run; the CPU by default.

    Returns:
        Such as `AMD EPYC 7543, 2 cores, 8 GiB`.
    """
    parts = [_processor(), f"{_cores()} cores"]
    memory = _memory_bytes()
    if memory:
        parts.append(f"{memory / 2**30:.0f} GiB")
    if device is not None and device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        parts.insert(0, f"{properties.name} ({properties.total_memory / 2**30:.0f} GiB)")
    return ", ".join(parts)


def source_version() -> str:
    """The commit of a source checkout, `-dirty` when files differ from it; else the version.

    A package that is installed below somebody else's repository is not our checkout: the file
    itself must be tracked.
    """
    here = Path(__file__).resolve()
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return f"showo-turbo {__version__}"
    # No tag matches, so this is the plain commit.
    commit = _git(here.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    return commit or f"showo-turbo {__version__}"


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints, or None if it fails or is not there."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    """The processor's marketing name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int | None:
    """Physical memory, or None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
