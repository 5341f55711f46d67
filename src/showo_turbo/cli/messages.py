"""jsonargparse's multi-line errors in one line that a user can act on."""

import ast
import re
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace

from ..errors import UserError
from .home import expand_home
from .kinds import about_abstract, name_missing_methods, options_like
from .old_keys import hint

_NOISE = re.compile(
    r"Subclass types expect one of:|a class path \(str\)|a dict with(out)? class_path entry"
    r"|a dict without class_path but with |a dict with (class_path|parameters accepted by) "
    r"|Does not validate against any of the Union subtypes|Subtypes: |Errors:$|Given value"
    r"|Expected a <class 'NoneType'>|Expected a path but .* either not accessible or invalid"
)

_CLASS = re.compile(r"Problem with given class_path '([\w.]+)':")
_KIND = re.compile(r"Not a valid subclass of (\w+)(?:\. Got value: (.*))?")
_CALLABLE = re.compile(
    r"Type typing\.Callable.* expects a function or a callable class: (.*?)"
    r"(?:\. Got value: Namespace\(class_path='([\w.]+)'.*)?"
)
_UNKNOWN = re.compile(r"Option '(.*)' is not accepted")

_REWORDED = (
    (r"Parser key \"([^\"]*)\":?", r"\1:"),
    (r"Problem with given class_path '(?:[\w.]*\.)?(\w+)':", r"\1:"),
    (r"\. Got value: Namespace\(class_path=.*", ""),
    (r"Expected a dot import path string: (\S+)", r"there is no class '\1'"),
    (r"Expected a <class '([\w.]+)'>\. Got value: (.*)", r"\2 is not of type \1"),
    (r"Expected a <class '([\w.]+)'>$", r"expected \1"),
    (r"Expected a (?:typing\.)?Literal\[(.*)\]\. Got value: (.*)", r"\2 is not one of \1"),
    (r"Expected a (?:typing\.)?Literal\[(.*)\]$", r"expected one of \1"),
    (r"Subcommand '\w+' does not accept option '(.*)'", r"there is no option '\1'"),
    (r"Group '(.*)' does not accept option '(.*)'", r"\1: there is no option '\2'"),
    (r"Option '(.*)' is not accepted", r"there is no option '\1'"),
    (r"Problems parsing config: ", ""),
    (r"invalid literal for int\(\) with base 10: (.*)", r"expected dict by whole numbers, got \1"),
)

_ABSTRACT = re.compile(r"Expected an instantiatable class, but (?:(\S+) )?is abstract")

_LONGEST_VALUE = 60


class OneLineErrors(ArgumentParser):
    """A parser whose errors reach the user as a `UserError` of one line.

    It takes no abbreviations of options, which a misspelt one could be taken for. `~` in paths is
    expanded.

    Attributes:
        command: The command whose help is pointed to.
    """

    command = "showo-turbo"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False} | kwargs)

    def parse_args(self, *args: Any, **kwargs: Any) -> Namespace:  # type: ignore[override]
        """Parse a command line, with the files that it names."""
        parsed: Namespace = expand_home(super().parse_args(*args, **kwargs))
        return parsed

    def format_help(self, *args: Any, **kwargs: Any) -> str:
        """The help, with types by their names, also those that jsonargparse has none for."""
        text: str = super().format_help(*args, **kwargs)
        return re.sub(r"<class\s+'([\w.]+)'>", r"\1", text)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise a `UserError`, or leave the error to the parser that tries out alternatives."""
        if not self.exit_on_error:
            super().error(message, ex)
        line = one_line(message)
        earlier = hint(line, self.command.rpartition(" ")[2])
        raise UserError(f"{line}{earlier}; see {self.command} --help")


def _given_to(shown: str, given: str) -> str:
    """The value of the option that a message ends with, where what was given is its class's."""
    option = re.search(r"(\w+): expected [^:]*$", shown)
    try:
        values = ast.literal_eval(given)
    except (SyntaxError, ValueError):
        return given
    if option is None or not isinstance(values, dict):
        return given
    options = values.get("init_args", values)
    return repr(options[option[1]]) if option[1] in options else given


def one_line(message: str) -> str:
    """Shorten a message of jsonargparse to where, what was wrong, and what was expected.

    Args:
        message: Several lines, with the alternatives that were tried and the whole given value.

    Returns:
        One line, such as `model: ShowoTurbo: there is no option 'studnet'`.
    """
    parts: list[str] = []
    given = asked = owner = ""
    lines = message.splitlines()
    for number, line in enumerate(lines):
        text = line.strip().removeprefix("- ")
        if text.startswith("Given value: "):
            given = text.removeprefix("Given value: ")
            # So an option of the command line comes here that goes to a class.
            given = re.sub(r"^NestedArg\(key='[^']*', val=(.*)\)$", r"\1", given)
        if not text or _NOISE.match(text):
            continue
        if kind := _KIND.fullmatch(text):
            asked = asked or f"expected a {kind[1]}, as {{class_path: ..., init_args: {{...}}}}"
            asked += f", got {kind[2]}" if kind[2] and "got" not in asked else ""
            continue
        if abstract := _ABSTRACT.fullmatch(text):
            text = about_abstract(abstract[1], "\n".join(lines[number:]))
        if named := _CLASS.fullmatch(text):
            owner = named[1]
        if inner := _CALLABLE.fullmatch(text):
            text, owner = inner[1], inner[2] or ""
            parts += [f"{owner.rpartition('.')[2]}:"] if owner else []
        if unknown := _UNKNOWN.fullmatch(text):
            text += options_like(unknown[1], owner)
        for pattern, replacement in _REWORDED:
            text = re.sub(pattern, replacement, text)
        parts.append(text.strip())
    if asked and (not parts or parts[-1].endswith(":")):
        parts.append(asked)
    shown = name_missing_methods(" ".join(parts), given)
    shown = re.sub(r"(expected \w+) expected (\w+)", r"\1 or \2", shown)
    given = _given_to(shown, given)
    is_one_value = not given.startswith(("{", "[", "Namespace("))
    bare = given.strip("'")
    is_shown = re.search(rf"(?<!\w){re.escape(bare)}(?!\w)", shown)
    if 0 < len(given) <= _LONGEST_VALUE and is_one_value and not is_shown:
        shown = f"{shown}, got {given}".removeprefix(", ")
    return shown or message
