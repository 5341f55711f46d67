"""`showo-turbo demo`: teacher and student side by side, on a page."""

import socket
from collections.abc import Sequence

from ..errors import UserError
from ..inference import ShowoPipeline
from .command_line import run_function


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(demo, arguments, name="demo")


def demo(
    teacher: str = "shapes",
    student: str | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    device: str | None = None,
    dtype: str | None = None,
    family: str | None = None,
) -> None:
    """Serve a web page that shows teacher and student side by side.

    Images come out of the mask as the milliseconds count, answers settle token by token, and what
    is painted over is regenerated. Needs the extra `demo`. Nothing is fetched or sent.

    Args:
        teacher: `shapes`, a folder or a hub id.
        student: Likewise, such as `runs/quickstart/student`; by default the teacher in few steps.
        host: Where to serve: this machine alone by default; `0.0.0.0` for all that reach it.
        port: On which port.
        device: `cpu`, `cuda`, ...; by default a GPU if there is one.
        dtype: Floating-point type of the transformers; float32 by default.
        family: Class of the models, where they are of a family of your own.
    """
    try:
        from ..demo.app import build_app, serve
    except ImportError as error:
        raise UserError(
            f'the demo needs gradio ({error}); install it with pip install -e ".[demo]"'
        ) from None
    expect_free(host, port)

    def load(model: str) -> ShowoPipeline:
        return ShowoPipeline.from_pretrained(model, device=device, dtype=dtype, family=family)

    right = None if student is None else load(student)
    serve(build_app(load(teacher), right), host, port)


def expect_free(host: str, port: int) -> None:
    """Raise if a port cannot be served on.

    Raises:
        UserError: If it is used, forbidden or not a port, or the host is unknown.
    """
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        raise UserError(
            f"port {port} of {host} cannot be served on ({error}); name another with --port"
        ) from None
