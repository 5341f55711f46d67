"""The `showo-turbo` command: Lightning's subcommands, and our own beside them."""

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

from ..errors import UserError, printable
from ..utils.files import is_out_of_space, is_refused
from ..utils.process import import_from_working_directory, keep_freed_memory, limit_spinning
from ..version import __version__
from . import COMMANDS, LIGHTNING_COMMANDS
from .help_texts import help_of


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `showo-turbo`; a user's mistake ends it with one line and status 2."""
    debug = "--debug" in (sys.argv if arguments is None else arguments)
    if arguments is None:
        sys.argv[1:] = arguments = _without_debug(sys.argv[1:])
    else:
        arguments = _without_debug(arguments)
    keep_freed_memory()
    limit_spinning()
    import_from_working_directory()
    try:
        _dispatch(arguments)
    except KeyboardInterrupt:
        if debug:
            raise
        print("showo-turbo: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        mistake = _user_error(error)
        if debug or mistake is None:
            raise
        print(f"showo-turbo: {printable(str(mistake))}", file=sys.stderr)
        raise SystemExit(2) from None


def _user_error(error: Exception) -> UserError | None:
    """The user's mistake behind an error; jsonargparse wraps those of the classes it builds."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, UserError):
        cause = cause.__cause__
    if cause is None and is_out_of_space(error):
        return UserError("no space is left on the disk; make room and start again")
    if cause is None and is_refused(error):
        return UserError(
            f"{error.filename} cannot be used ({error.strerror}); expected a place to read or "
            "write, name another"
        )
    return cause


def _without_debug(arguments: Sequence[str]) -> list[str]:
    return [argument for argument in arguments if argument != "--debug"]


def _dispatch(arguments: list[str]) -> None:
    """Run the command that the first argument names."""
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        print(_overview())
    elif name == "--version":
        print(f"showo-turbo {__version__}")
    elif name in (COMMANDS | LIGHTNING_COMMANDS) and arguments[1:] in (["-h"], ["--help"]):
        print(help_of(name, _run), end="")
        raise SystemExit(0)
    else:
        _run(arguments)


def _run(arguments: Sequence[str]) -> None:
    """Run a command."""
    name = arguments[0]
    if name in COMMANDS:
        module = import_module(f".{name.replace('-', '_')}", __package__)
        module.run(arguments[1:])
    elif name in LIGHTNING_COMMANDS:
        from .lightning import run_lightning

        run_lightning(list(arguments))
    else:
        known = [*LIGHTNING_COMMANDS, *COMMANDS]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(known)}"
        raise UserError(f"there is no command {name!r}; {hint}")


def _overview() -> str:
    """What `showo-turbo --help` prints."""
    width = max(map(len, [*LIGHTNING_COMMANDS, *COMMANDS]))

    def table(commands: dict[str, str]) -> str:
        return "\n".join(f"  {name:<{width}}  {text}" for name, text in commands.items())

    return f"""\
usage: showo-turbo COMMAND [options]

Consistency distillation of Show-o: fast parallel decoding of images and text.

Training and evaluation (LightningCLI):
{table(LIGHTNING_COMMANDS)}

Data, inference, reports and models:
{table(COMMANDS)}

Options:
  --help     Show this or, after a command, its options.
  --version  Show the version.
  --debug    Show the whole traceback of an error."""
