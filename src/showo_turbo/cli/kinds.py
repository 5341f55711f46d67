"""What a message of jsonargparse leaves out about the classes that it names."""

import difflib
import inspect
import re
import sys
from importlib import import_module
from typing import Any

_OTHER_KIND = re.compile(r"Import path (?:([\w.]+) )?does not correspond to a subclass of (\w+)")

_FEW_OPTIONS = 6


def name_missing_methods(message: str, given: str) -> str:
    """Say what a class lacks, where jsonargparse says only that it is of another kind.

    Args:
        message: jsonargparse's, in one line.
        given: The value that it is about.
    """
    if match := _OTHER_KIND.search(message):
        path, base = match[1] or given.strip("'"), match[2]
        found, kind = class_at(path), _class_called(base)
        required = sorted(getattr(kind, "__abstractmethods__", ()))
        missing = [name for name in required if not callable(getattr(found, name, None))]
        lacking = f" has no {_methods(missing)} and" if missing and found is not None else ""
        return message.replace(match[0], f"{path}{lacking} is not a {base}; derive it from {base}")
    return message


def about_abstract(name: str | None, following: str) -> str:
    """What to do about a class that cannot be built.

    Args:
        name: The class, as far as the message names it.
        following: The rest of the message.

    Returns:
        For a class that a user wrote, which methods it lacks; for a kind of ours of which a user
        gave only options, which class to name.
    """
    given = re.search(r"Given value: ([\w.]+)$", following, re.MULTILINE)
    name = name or (given[1] if given else "")
    module, _, bare = name.rpartition(".")
    found = class_at(name)
    if found is None:
        return "this class lacks methods of its base class; write them"
    kinds = [kind for kind in found.__subclasses__() if not inspect.isabstract(kind)]
    if module.startswith(f"{__package__.partition('.')[0]}.") and kinds:
        options = ", ".join(inspect.signature(kinds[0]).parameters)
        return (
            f"there is no class_path; expected one, such as {{class_path: {kinds[0].__name__}, "
            f"init_args: {{{options}}}}}, or a {bare} of your own"
        )
    methods = ", ".join(sorted(found.__abstractmethods__))
    return f"{name} lacks the method {methods}; write it as its base class has it"


def options_like(option: str, class_path: str) -> str:
    """Say which options a class has in place of an unknown one; nothing of an unknown class.

    Args:
        option: The unknown one.
        class_path: Where the class is; empty if the message names none.
    """
    found = class_at(class_path)
    try:
        known = option_names(found) if found is not None else []
    except ValueError:
        return ""
    close = difflib.get_close_matches(option, known, n=1)
    shown = close or (known if len(known) <= _FEW_OPTIONS else [])
    return f", expected {' or '.join(repr(name) for name in shown)}" if shown else ""


def option_names(kind: Any) -> list[str]:
    """Names of a class's options, those among them that it hands on to its base class."""
    names: list[str] = []
    for base in getattr(kind, "__mro__", [kind]):
        parameters = inspect.signature(base).parameters.values()
        hands_on = [entry for entry in parameters if entry.kind is entry.VAR_KEYWORD]
        names += [entry.name for entry in parameters if entry not in hands_on]
        if not hands_on:
            break
    return names


def _methods(names: list[str]) -> str:
    return f"method{'s' if len(names) > 1 else ''} {', '.join(names)}"


def class_at(path: str) -> Any:
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
