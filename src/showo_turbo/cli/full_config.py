"""The whole configuration of a command, and options of callbacks by the names of their classes."""

import io
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from ..errors import UserError
from ..utils.dotted_keys import with_value

_OPTION = re.compile(r"--(trainer\.callbacks\.[A-Z]\w*\.[\w.]+)(?:=(.*))?", re.DOTALL)


def full_config(arguments: Sequence[str], command: str = "fit") -> dict[str, Any]:
    """The configuration of a command, with every default in it.

    Args:
        arguments: What follows the command on its command line.
        command: The command.

    Raises:
        UserError: If they are wrong.
    """
    from .lightning import run_lightning

    printed = io.StringIO()
    given = sys.argv
    # Lightning warns when it gets other arguments than the process has.
    sys.argv = [given[0], command, *arguments, "--print_config"]
    try:
        with redirect_stdout(printed):
            run_lightning(sys.argv[1:])
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        sys.argv = given
    config: dict[str, Any] = yaml.safe_load(printed.getvalue())
    return config


@contextmanager
def with_callback_options(arguments: Sequence[str]) -> Iterator[list[str]]:
    """Replace options of callbacks by a file that says the same.

    `--trainer.callbacks.Curriculum.init_args.batch_size 32` changes the batch size of the
    `Curriculum` that the configuration lists, as such a key does in a sweep; `init_args` may be
    left out.

    Args:
        arguments: A command line, the command first.

    Yields:
        The command line to parse in its place.

    Raises:
        UserError: If an option has no value, or the configuration has no such callback or key.
    """
    rest, changes = _split(arguments)
    if not changes:
        yield list(arguments)
        return
    config = full_config(rest[1:], rest[0])
    for key, value in changes.items():
        config = with_value(config, key, yaml.safe_load(value))
    with TemporaryDirectory() as folder:
        overlay = Path(folder) / "callbacks.yaml"
        listed = {"trainer": {"callbacks": config["trainer"]["callbacks"]}}
        overlay.write_text(yaml.safe_dump(listed, sort_keys=False), encoding="utf-8")
        yield [*rest, "-c", str(overlay)]


def _split(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The other arguments, and the values of options of callbacks by their keys."""
    rest: list[str] = []
    changes: dict[str, str] = {}
    waiting = iter(arguments)
    for argument in waiting:
        option = _OPTION.fullmatch(argument)
        if option is None:
            rest.append(argument)
            continue
        value = next(waiting, None) if option[2] is None else option[2]
        if value is None:
            raise UserError(f"{argument} has no value; expected one behind it")
        trainer, callbacks, name, *parts = option[1].split(".")
        if parts[0] != "init_args":
            parts.insert(0, "init_args")
        changes[".".join([trainer, callbacks, name, *parts])] = value
    return rest, changes
