"""jsonargparse's multi-line errors in one line that a user can act on."""

import inspect
import re
from importlib import import_module
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

from ..errors import UserError

_NOISE = re.compile(
    r"Not a valid subclass of |Subclass types expect one of:|a class path \(str\)"
    r"|a dict with(out)? class_path entry|a dict with class_path |"
    r"(- )?Does not validate against any of the Union subtypes|Subtypes: |Errors:$|Given value"
    r"|- Expected a <class 'NoneType'>"
)

_REWORDED = (
    (r"Parser key \"([^\"]*)\":?", r"\1:"),
    (r"Problem with given class_path '(?:[\w.]*\.)?(\w+)':", r"\1:"),
    (r"Expected a dot import path string: (\S+)", r"there is no class '\1'"),
    (r"Expected a <class '([\w.]+)'>\. Got value: (.*)", r"\2 is no \1"),
    (r"Expected a <class '([\w.]+)'>$", r"expected \1"),
    (r"Expected a (?:typing\.)?Literal\[(.*)\]\. Got value: (.*)", r"\2 is none of \1"),
    (r"Expected a (?:typing\.)?Literal\[(.*)\]$", r"expected one of \1"),
    (r"Subcommand '\w+' does not accept option '(.*)'", r"there is no option '\1'"),
    (r"Group '(.*)' does not accept option '(.*)'", r"\1: there is no option '\2'"),
    (r"Option '(.*)' is not accepted", r"there is no option '\1'"),
    (r"Problems parsing config: ", ""),
    (r" in \"<unicode string>\",", " in"),
)

_ABSTRACT = re.compile(r"Expected an instantiatable class, but (?:(\S+) )?is abstract")
_NO_PATH = re.compile(r"Expected a path but .* either not accessible or invalid")

_LONGEST_VALUE = 60


class OneLineErrors(ArgumentParser):
    """A parser whose errors reach the user as a `UserError` of one line.

    It takes no abbreviations of options, which a misspelt one could be taken for.

    Attributes:
        command: The command whose help is pointed to.
    """

    command = "showo-turbo"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False} | kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise a `UserError`, or leave the error to the parser that tries out alternatives."""
        if not self.exit_on_error:
            super().error(message, ex)
        raise UserError(f"{one_line(message)}; see {self.command} --help")


def one_line(message: str) -> str:
    """Shorten a message of jsonargparse to where, what was wrong, and what was expected.

    Args:
        message: Several lines, with the alternatives that were tried and the whole given value.

    Returns:
        One line, such as `model: ShowoTurbo: there is no option 'studnet'`.
    """
    parts = []
    given = ""
    lines = message.splitlines()
    for number, line in enumerate(lines):
        text = line.strip()
        if text.startswith("Given value: "):
            given = text.removeprefix("Given value: ")
            # So an option of the command line comes here that goes to a class.
            given = re.sub(r"^NestedArg\(key='[^']*', val=(.*)\)$", r"\1", given)
        if not text or _NOISE.match(text):
            continue
        text = text.removeprefix("- ")
        if _NO_PATH.fullmatch(text):  # where a class can stand, a file of its options could
            continue
        if abstract := _ABSTRACT.fullmatch(text):
            text = _about_abstract(abstract[1], "\n".join(lines[number:]))
        for pattern, replacement in _REWORDED:
            text = re.sub(pattern, replacement, text)
        parts.append(text.strip())
    shown = " ".join(parts)
    is_one_value = not given.startswith(("{", "[", "Namespace("))
    is_shown = re.search(rf"(?<!\w){re.escape(given)}(?!\w)", shown)
    if 0 < len(given) <= _LONGEST_VALUE and is_one_value and not is_shown:
        shown = f"{shown}, got {given}".removeprefix(", ")
    return shown or message


def _about_abstract(name: str | None, following: str) -> str:
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
    try:
        found = getattr(import_module(module), bare)
    except (ImportError, AttributeError, ValueError):
        return "this class lacks methods of its base class; write them"
    kinds = [kind for kind in found.__subclasses__() if not inspect.isabstract(kind)]
    if module.startswith(f"{__package__.partition('.')[0]}.") and kinds:
        options = ", ".join(inspect.signature(kinds[0]).parameters)
        return (
            f"is now a source: class_path: {kinds[0].__name__}, init_args: {{{options}}}, or a "
            f"{bare} of your own"
        )
    methods = ", ".join(sorted(found.__abstractmethods__))
    return f"{name} lacks the method {methods}; write it as its base class has it"
