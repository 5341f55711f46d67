"""The `showo-turbo` command: Lightning's subcommands, and our own beside them."""

import sys
from collections.abc import Sequence

from .errors import UserError
from .process import import_from_working_directory, keep_freed_memory


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `showo-turbo`; a user's mistake ends it with one line and status 2."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    keep_freed_memory()
    import_from_working_directory()
    try:
        _dispatch(arguments)
    except UserError as error:
        if debug:
            raise
        print(f"showo-turbo: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("showo-turbo: interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def _dispatch(arguments: list[str]) -> None:
    from .commands.lightning import run_lightning

    run_lightning(arguments)
