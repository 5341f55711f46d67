"""A command line for a typed function: its signature and docstring are the options and the help."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import MappingProxyType
from typing import Any, get_type_hints

from docstring_parser import parse as parse_docstring
from jsonargparse import (  # type: ignore[attr-defined]
    ActionConfigFile,
    ActionYesNo,
    Namespace,
)

from .config_files import check_config_files
from .messages import OneLineErrors


def run_function(
    function: Callable[..., None],
    arguments: Sequence[str],
    *,
    name: str,
    listed: str | None = None,
    nested: Sequence[str] = (),
    default_classes: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Parse a command line for a function and call it.

    Parameters become `--options`; those without a default are positional, unless `listed` takes all
    positional arguments. A `bool` becomes a switch, `--half` or `--no_half`. A parameter whose type
    is a dataclass becomes a group of plain options, `--top_k` instead of `--changes.top_k`; one
    that may be `None` stays nested. Options can also come from YAML, with `--config`.

    Args:
        function: Typed, with a docstring in Google style.
        arguments: The command line after the command's name.
        name: The command's name.
        listed: A list parameter that takes all positional arguments.
        nested: Dataclass parameters whose options keep the parameter's name in front, because
            they would clash otherwise.
        default_classes: For parameters whose type is a class of many kinds, the class whose
            options are meant where none is named: `--captions.images` alone.

    Raises:
        UserError: If the command line does not fit, or whatever the function raises.
    """
    check_config_files(arguments)
    parser, groups = build_parser(function, name, listed, nested)
    parsed = parser.parse_args(_with_classes(arguments, default_classes))
    function(**_regrouped(parser.instantiate(parsed), groups))


def build_parser(
    function: Callable[..., None],
    name: str,
    listed: str | None = None,
    nested: Sequence[str] = (),
) -> tuple[OneLineErrors, dict[str, type]]:
    """The parser of `run_function`, and the dataclasses whose fields became plain options."""
    docstring = parse_docstring(inspect.getdoc(function) or "")
    parser = OneLineErrors(prog=f"showo-turbo {name}", description=docstring.description)
    parser.command = parser.prog
    parser.add_argument(
        "--config", action=ActionConfigFile, help="YAML file with any of the options below."
    )
    hints = get_type_hints(function)
    groups = {
        parameter: hints[parameter]
        for parameter in inspect.signature(function).parameters
        if is_dataclass(hints[parameter]) and parameter not in nested
    }
    helps = {entry.arg_name: entry.description for entry in docstring.params}
    if listed is not None:
        parser.add_argument(listed, nargs="*", type=str, default=[], help=helps[listed])
    switches = [parameter for parameter, hint in hints.items() if hint is bool]
    parser.add_function_arguments(
        function,
        skip={*groups, *switches, *([] if listed is None else [listed])},
        as_group=False,
        as_positional=listed is None,
        sub_configs=True,
    )
    for switch in switches:
        default = inspect.signature(function).parameters[switch].default
        parser.add_argument(f"--{switch}", action=ActionYesNo, default=default, help=helps[switch])
    for group in groups.values():
        parser.add_class_arguments(group, as_group=True)
    return parser, groups


def _with_classes(arguments: Sequence[str], classes: Mapping[str, str]) -> list[str]:
    """The arguments, with the class named of each parameter that only has options of its class."""
    named = [argument.partition("=")[0] for argument in arguments]
    chosen = []
    for parameter, name in classes.items():
        options = [option for option in named if option.startswith(f"--{parameter}.")]
        explicit = {f"--{parameter}", f"--{parameter}.class_path", f"--{parameter}.help"}
        if options and explicit.isdisjoint(named):
            chosen.append(f"--{parameter}={name}")
    return [*chosen, *arguments]


def _regrouped(parsed: Namespace, groups: Mapping[str, type]) -> dict[str, Any]:
    """The function's arguments, each group's options as one dataclass again."""
    values = dict(vars(parsed))
    values.pop("config", None)
    for parameter, group in groups.items():
        values[parameter] = group(**{field.name: values.pop(field.name) for field in fields(group)})
    return values
