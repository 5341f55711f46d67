"""What `--help` prints, put together once on a machine: importing Lightning takes seconds."""

import io
import shutil
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..utils.remembered import remembered

_SAYING = ("jsonargparse", "lightning", "torch")
"""Packages that parts of the texts come from."""


def help_of(command: str, run: Callable[[Sequence[str]], object]) -> str:
    """The help of a command, until this package or one that it describes changes.

    Args:
        command: Its name.
        run: Runs a command line.
    """

    def print_it() -> str:
        printed = io.StringIO()
        with redirect_stdout(printed):
            try:
                run([command, "--help"])
            except SystemExit as exit_:
                if exit_.code:
                    raise
        return printed.getvalue()

    files = sorted(Path(__file__).parents[1].rglob("*.py"))
    columns = shutil.get_terminal_size().columns
    versions = [f"{name} {_version(name)}" for name in _SAYING]
    return remembered(files, f"help of {command}, {columns} columns, {versions}", print_it)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
