"""Errors of classes that are not of this package, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten
from traceback import walk_tb

from lightning.fabric.utilities.exceptions import MisconfigurationException

from ..errors import UserError

_PACKAGE = __name__.partition(".")[0]


@contextmanager
def foreign_errors() -> Iterator[None]:
    """Say in one line which class of a configuration cannot be built, and why.

    Raises:
        UserError: In place of what the constructor of a class outside of this package has raised.
    """
    try:
        yield
    except (UserError, MisconfigurationException):
        raise
    except Exception as error:
        found = next(_constructions(error), None)
        if found is None or found[0].__module__.partition(".")[0] == _PACKAGE:
            raise
        built, cause = found
        reason = shorten(f"{type(cause).__name__}: {' '.join(str(cause).split())}", 300)
        raise UserError(
            f"{built.__module__}.{built.__qualname__} cannot be built ({reason}); correct its "
            "init_args, or install what it needs; --debug shows where it failed"
        ) from error


def _constructions(error: BaseException | None) -> Iterator[tuple[type, BaseException]]:
    """Classes whose constructors were running when an error, or what it is from, arose.

    jsonargparse wraps what a constructor raises.
    """
    while error is not None:
        for frame, _ in walk_tb(error.__traceback__):
            if frame.f_code.co_name == "__init__" and "self" in frame.f_locals:
                built = type(frame.f_locals["self"])
                if not issubclass(built, BaseException) and not _is_machinery(built):
                    yield built, error
        error = error.__cause__ or error.__context__


def _is_machinery(built: type) -> bool:
    """Whether a class builds others: the command line itself, and its parser."""
    if built.__module__.partition(".")[0] == "jsonargparse":
        return True
    return any(kind.__name__ == "LightningCLI" for kind in built.__mro__)
