"""A group of options that is null, which the parser lets pass and nothing can be built from."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from jsonargparse import Namespace

from ..errors import UserError
from .kinds import class_at


def check_null_groups(config: Any, where: str, kind: Any = None) -> None:
    """Raise if a group of options is null in a parsed configuration.

    Args:
        config: The configuration of an object, or a list of such, or a plain value.
        where: Its key, for the message.
        kind: The type that it is of; found by itself where there is a `class_path`.

    Raises:
        UserError: Naming the group.
    """
    arguments = [part for part in get_args(kind) if part is not NoneType]
    if isinstance(config, list):
        is_list = get_origin(kind) in (list, Sequence)
        for index, entry in enumerate(config):
            check_null_groups(entry, f"{where}.{index}", arguments[0] if is_list else None)
    elif isinstance(config, dict):
        for name, entry in config.items():
            check_null_groups(entry, f"{where}.{name}")
    elif isinstance(config, Namespace):
        if "class_path" in config:
            kind, config = class_at(config.class_path), config.get("init_args")
        elif len(arguments) == 1:  # X | None
            kind = arguments[0]
        hints = _hints(kind)
        for name, value in vars(config).items() if config is not None else ():
            hint = hints.get(name)
            if value is None and is_dataclass(hint):
                raise UserError(
                    f"{where}.{name} is null; expected options of {hint.__name__}, leave it out "  # type: ignore[union-attr]
                    "for the defaults"
                )
            check_null_groups(value, f"{where}.{name}", hint)


def _hints(kind: Any) -> dict[str, Any]:
    """The types of what a class and its base classes are made from, as far as they are known."""
    hints: dict[str, Any] = {}
    for base in reversed(getattr(kind, "__mro__", ())):
        with suppress(AttributeError, NameError, TypeError):
            hints |= get_type_hints(base.__init__)
    return hints
