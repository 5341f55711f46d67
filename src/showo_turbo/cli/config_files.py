"""Faults in YAML files are found while their names are at hand: the parsers do not tell them."""

from collections.abc import Collection, Sequence
from typing import Any

import yaml

from ..errors import UserError
from ..utils.text_files import ENCODING
from .home import local_path

MAX_BYTES = 2**20
"""No configuration is larger; other files would take the YAML parser minutes."""

MAX_VALUES = 100_000
"""A few lines of aliases (`*name`) can stand for more values than memory holds."""


class _Loader(yaml.SafeLoader):
    """Raises on keys that come twice in one mapping, of which YAML keeps the last silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} comes twice", key.start_mark
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


def check_config_files(arguments: Sequence[str]) -> None:
    """Check the files that a command line names with `-c` or `--config`.

    Args:
        arguments: The command line.

    Raises:
        UserError: If a file is missing, no YAML, or no mapping of options, or if an option is of an
            unknown loss term.
    """
    classes: dict[str, str] = {}
    terms: set[str] = set()
    for place, argument in enumerate(arguments):
        option, _, name = argument.partition("=")
        if option in ("-c", "--config"):
            following = arguments[place + 1] if place + 1 < len(arguments) else ""
            if not (name or following):
                raise UserError(f"{argument} names no file; expected a YAML file, name one")
            content = read_config(name or following)
            _check_overlay(name or following, content, {*classes, *_named_classes(arguments)})
            classes |= _classes_of(content)
            terms |= _terms_of(content)
    if classes.get("model", "ShowoTurbo") == "ShowoTurbo":
        _check_terms(arguments, terms)


def _check_terms(arguments: Sequence[str], known: set[str]) -> None:
    """Raise if an option is of a loss term that neither a file nor an earlier option names.

    Args:
        arguments: The command line.
        known: The terms that files name.

    Raises:
        UserError: Naming the term and the known ones.
    """
    for argument in arguments:
        option = argument.partition("=")[0]
        section, _, key = option.replace(".init_args.", ".").partition(".losses")
        if section != "--model":
            continue
        _, name, *below = [*key.split("."), ""] if key else ["", ""]
        if not name:  # all of them
            return
        if below == [""] or below[0] == "class_path":
            known.add(name)
        elif name not in known:
            there = f"one of {', '.join(sorted(known))}" if known else "losses, each with its class"
            raise UserError(
                f"{option}: the configuration has no loss term {name!r}; expected {there}, write "
                "it in the YAML as configs/turbo.yaml does, or correct the name"
            )


def _classes_of(content: dict[str, Any]) -> dict[str, str]:
    """The class that a file names for each section that has one."""
    named = {section: content.get(section) for section in ("model", "data")}
    return {
        section: str(value["class_path"] if isinstance(value, dict) else value).rpartition(".")[2]
        for section, value in named.items()
        if isinstance(value, str) or (isinstance(value, dict) and "class_path" in value)
    }


def _terms_of(content: dict[str, Any]) -> set[str]:
    """The loss terms that a file names."""
    place: Any = content
    for key in ("model", "init_args", "losses"):
        place = place.get(key) if isinstance(place, dict) else None
    return set(place) if isinstance(place, dict) else set()


def _check_overlay(name: str, content: dict[str, Any], known: Collection[str]) -> None:
    """Raise on options of a class that neither this file nor an earlier one names.

    Args:
        name: The file's.
        content: Its content.
        known: Sections whose class is named elsewhere.

    Raises:
        UserError: If the file is an overlay without its base.
    """
    for section in ("model", "data"):
        value = content.get(section)
        without_class = isinstance(value, dict) and value.keys() == {"init_args"}
        if without_class and section not in known:
            raise UserError(
                f"{name} sets options of {section}, but no class_path; it is an overlay, so name "
                "its base before it, such as -c configs/turbo.yaml"
            )


def _named_classes(arguments: Sequence[str]) -> list[str]:
    """Sections whose class the command line names."""
    options = [argument.partition("=")[0] for argument in arguments]
    return [
        section
        for section in ("model", "data")
        if {f"--{section}", f"--{section}.class_path"} & set(options)
    ]


def read_config(name: str) -> dict[str, Any]:
    """Read a YAML file of options.

    Raises:
        UserError: If it is missing, no YAML, or no mapping, or unfolds to more than memory holds.
    """
    path = local_path(name)
    if not path.exists():
        raise UserError(f"{name} does not exist; expected a YAML file, name one")
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise UserError(
            f"{name} has {path.stat().st_size:,} bytes; expected a YAML file of options of at most "
            f"{MAX_BYTES:,}, name another"
        )
    try:
        content = yaml.load(path.read_text(encoding=ENCODING), _Loader)  # a SafeLoader
    except RecursionError:
        raise UserError(f"{name} is nested too deeply; expected YAML options, correct it") from None
    except (yaml.YAMLError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{name} is not a YAML file ({reason}); correct it or name another"
        ) from None
    if not isinstance(content, dict):
        raise UserError(
            f"{name} holds no options; expected keys such as model, data, trainer, correct it"
        )
    if _count_values(content, {}) > MAX_VALUES:
        raise UserError(
            f"{name} unfolds to more than {MAX_VALUES:,} values; expected options, "
            "write them without so many aliases"
        )
    return content


def _count_values(value: Any, known: dict[int, float]) -> float:
    """How many values there are once aliases are unfolded; infinitely many in a loop."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = float("inf")
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count_values(part, known) for part in parts)
    return known[id(value)]
