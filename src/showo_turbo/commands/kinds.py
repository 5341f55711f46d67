"""A user's own class that is not of the kind asked for: which methods it lacks."""

import re
import sys
from importlib import import_module
from typing import Any

_OTHER_KIND = re.compile(r"Import path (?:([\w.]+) )?does not correspond to a subclass of (\w+)")
_ABSTRACT = re.compile(r"Expected an instantiatable class, but ([\w.]+) is abstract")


def name_missing_methods(message: str, given: str) -> str:
    """Say what a class lacks, where jsonargparse says only that it is of another kind or abstract.

    Args:
        message: jsonargparse's, in one line.
        given: The value that it is about.
    """
    if match := _ABSTRACT.search(message):
        missing = sorted(getattr(_class_at(match[1]), "__abstractmethods__", ()))
        return message.replace(
            match[0], f"{match[1]} has no {_methods(missing)}; add what is missing"
        )
    if match := _OTHER_KIND.search(message):
        path, base = match[1] or given.strip("'"), match[2]
        found, kind = _class_at(path), _class_called(base)
        required = sorted(getattr(kind, "__abstractmethods__", ()))
        missing = [name for name in required if not callable(getattr(found, name, None))]
        lacking = f" has no {_methods(missing)} and" if missing and found is not None else ""
        return message.replace(match[0], f"{path}{lacking} is no {base}; derive it from {base}")
    return message


def _methods(names: list[str]) -> str:
    return f"method{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _class_at(path: str) -> Any:
    """The class that the parser has found at an import path; None if it is not there."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name, None)
    except (ImportError, ValueError):
        return None


def _class_called(name: str) -> Any:
    """A class of this package by its bare name."""
    for module, content in list(sys.modules.items()):
        if module.startswith("showo_turbo.") and isinstance(vars(content).get(name), type):
            return vars(content)[name]
    return None
