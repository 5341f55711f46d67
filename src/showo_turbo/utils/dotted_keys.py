"""Dotted keys of configurations, such as `trainer.callbacks.Curriculum.init_args.stages.0.epochs`.

An entry of a list is named by its number, or by its class name if it has a `class_path`.
"""

import difflib
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from ..errors import UserError


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Every value of a configuration by its dotted key.

    Args:
        config: Nested dictionaries and lists; empty ones count as values.
        prefix: What stands before the keys.
    """
    if not isinstance(config, (dict, list)) or not config:
        return {prefix: config}
    found: dict[str, Any] = {}
    for name, value in _entries(config):
        found |= flatten(value, f"{prefix}.{name}" if prefix else name)
    return found


def with_value(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy of a configuration in which one value is another.

    Args:
        config: Nested dictionaries and lists.
        key: Dotted key of something that is there.
        value: What it becomes.

    Raises:
        UserError: If there is no such key.
    """
    changed = deepcopy(config)
    place: Any = changed
    *parents, last = key.split(".")
    for name in parents:
        place = place[_find(place, name, key, config)]
    place[_find(place, last, key, config)] = value
    return changed


def _entries(config: dict[str, Any] | list[Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(config, dict):
        yield from ((str(name), value) for name, value in config.items())
        return
    names = [_class_name(entry) for entry in config]
    for index, (name, entry) in enumerate(zip(names, config, strict=True)):
        # Two of a class can only be told apart by number.
        yield (name if name and names.count(name) == 1 else str(index)), entry


def _class_name(entry: Any) -> str:
    path = entry.get("class_path", "") if isinstance(entry, dict) else ""
    return str(path).rpartition(".")[2]


def _find(place: Any, name: str, key: str, config: dict[str, Any]) -> Any:
    """The index of a dictionary or a list that a part of a key names."""
    if isinstance(place, dict):
        for entry in place:  # numbers of steps are keys as well as words
            if str(entry) == name:
                return entry
    if isinstance(place, list):
        names = [entry for entry, _ in _entries(place)]
        if name in names:
            return names.index(name)
        if name.isdigit() and int(name) < len(place):
            return int(name)
    close = difflib.get_close_matches(key, flatten(config), n=1)
    hint = f"did you mean {close[0]!r}?" if close else "name one of the configuration's keys"
    raise UserError(f"the configuration has no key {key!r}; {hint}")
