"""A Python that starts at once: its processes are forked from one that has done the imports.

`forking_python` starts that one, a server, and gives the path of a script that stands for the
interpreter. The script takes `-c CODE`, `-m MODULE` or a file, lets the server fork a process with
its arguments, environment, working directory and open files, passes signals on to it, and ends as
it ends. A script that is killed takes its process with it.

A forked process has such a script as `sys.executable`, with a server of its own that was forked
before anything ran, so what it starts there (ranks, trials) begins as clean as itself, is orphaned
when it dies, and sees that by `os.getppid` as any child does.
"""

import atexit
import fcntl
import gc
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

IMPORTED = (
    "torch._dynamo",
    "torch.distributed.fsdp",
    "torch.utils.tensorboard",
    "transformers.models.phi.modeling_phi",
    "showo_turbo.cli.lightning",
)
"""What the server imports. It runs nothing of them: threads would not survive a fork."""

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""What libraries read when they are loaded: none may start a thread."""

SCRIPT = """#!{python} -IS
import json, os, signal, socket, sys

descriptors = []
for name in os.listdir("/proc/self/fd"):
    try:
        if os.get_inheritable(int(name)):
            descriptors.append(int(name))
    except OSError:  # that of the listing
        pass
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
request = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd(), descriptors]).encode()
socket.send_fds(server, [len(request).to_bytes(4, "big")], descriptors)
server.sendall(request)
pid = int.from_bytes(server.recv(4), "big")
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, lambda number, frame: os.kill(pid, number))
answer = server.recv(4)
# None if the server has gone, with the process that started this one.
status = int.from_bytes(answer, "big", signed=True) if answer else 255
if status < 0:
    if -status != signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
os._exit(status)
"""

PYTHON = sys.executable
"""The interpreter, which `sys.executable` is not in a forked process."""

ABOVE = 500
"""Descriptors from here on are out of the way of those that a process is given."""


@contextmanager
def forking_python() -> Iterator[str]:
    """The path of such a script while its server runs; elsewhere than on Linux the interpreter."""
    if not sys.platform.startswith("linux"):
        yield sys.executable
        return
    with tempfile.TemporaryDirectory(prefix="fork-") as folder:
        listener, script = listen(Path(folder))
        with listener:
            number = listener.fileno()
            server = subprocess.Popen(
                [sys.executable, __file__, str(number), folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env=os.environ | ONE_THREAD,
                pass_fds=[number],
                start_new_session=True,
            )
        try:
            yield str(script)
        finally:
            server.communicate()  # The end of its input ends it.


def listen(folder: Path) -> tuple[socket.socket, Path]:
    """A socket for requests, and the script that sends them there."""
    address = folder / f"{os.getpid()}.socket"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(address))
    listener.listen()
    script = folder / f"python-{os.getpid()}"
    script.write_text(SCRIPT.format(python=PYTHON, address=str(address)))
    script.chmod(0o700)
    return listener, script


class Request:
    """What a script asks for, and the descriptors that it has sent along.

    Raises:
        EOFError: If it has been killed meanwhile.
    """

    def __init__(self, connection: socket.socket) -> None:
        size, self.received, _, _ = socket.recv_fds(connection, 4, 64)
        content = b""
        while len(content) < int.from_bytes(size, "big"):
            content += (part := connection.recv(2**16))
            if not part:
                break
        try:
            self.arguments, self.environment, self.folder, self.numbers = json.loads(content)
        except ValueError:
            self.close()
            raise EOFError from None

    def close(self) -> None:
        """Leave the descriptors to the process that was forked for them."""
        for descriptor in self.received:
            os.close(descriptor)

    def take_over(self) -> None:
        """Make arguments, environment, directory and descriptors those of this process."""
        away = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, ABOVE) for one in self.received]
        self.close()
        for descriptor, number in zip(away, self.numbers, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(self.environment)
        os.chdir(self.folder)

    def run(self) -> None:
        """Do as Python does with these arguments."""
        kind, *rest = self.arguments
        if kind == "-c":
            code, *rest = rest
            sys.argv[:] = ["-c", *rest]
            sys.path.insert(0, "")
            sys.modules["__main__"] = main = ModuleType("__main__")
            exec(compile(code, "<string>", "exec"), vars(main))
        elif kind == "-m":
            sys.argv[:] = rest
            sys.path.insert(0, os.getcwd())
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv[:] = [kind, *rest]
            sys.path.insert(0, str(Path(kind).resolve().parent))
            runpy.run_path(kind, run_name="__main__")


def serve(listener: socket.socket, lifeline: int) -> Request:
    """Fork a process for each request, and return in it, until nothing holds the lifeline."""
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(lifeline, selectors.EVENT_READ)
    while True:
        (key, _), *_ = selector.select()  # Others are still there the next time.
        if key.fileobj is listener:
            connection, _ = listener.accept()
            try:
                request = Request(connection)
            except EOFError:
                connection.close()
                continue
            pid = os.fork()
            if not pid:
                close_all(selector, connection)
                return request
            request.close()
            selector.register(connection, selectors.EVENT_READ, pid)
            selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, connection))
            send(connection, pid)
        elif key.fd == lifeline:
            os._exit(0)
        elif isinstance(key.data, int):  # The script has been killed.
            os.kill(key.data, signal.SIGKILL)
            selector.unregister(key.fileobj)
        else:
            pid, connection = key.data
            send(connection, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            selector.unregister(key.fileobj)
            os.close(key.fd)
            if connection in selector.get_map():
                selector.unregister(connection)
            connection.close()


def send(connection: socket.socket, number: int) -> None:
    """Send a number to a script, if it still listens."""
    with suppress(OSError):
        connection.sendall(number.to_bytes(4, "big", signed=True))


def close_all(selector: selectors.BaseSelector, *further: Any) -> None:
    """Close what a server has open."""
    for one in (*[key.fileobj for key in selector.get_map().values()], *further):
        os.close(one) if isinstance(one, int) else one.close()
    selector.close()


def main(listener: socket.socket, folder: Path) -> None:
    """Serve; in a forked process, become what was asked for."""
    for name in IMPORTED:
        import_module(name)
    assert len(os.listdir("/proc/self/task")) == 1, "threads do not survive a fork"
    gc.freeze()
    request = serve(listener, sys.stdin.fileno())
    while True:
        listener, script = listen(folder)
        reading, writing = os.pipe()
        if os.fork():
            break
        # The server of this process's children, which goes when the process does.
        os.close(writing)
        request.close()
        request = serve(listener, reading)
    os.close(reading)
    listener.close()
    fcntl.fcntl(writing, fcntl.F_DUPFD_CLOEXEC, 2 * ABOVE)
    os.close(writing)
    sys.executable = str(script)
    request.take_over()
    os._exit(status_of(request))


def status_of(request: Request) -> int:
    """Run it to its end, and return the status of the process."""
    status = 0
    try:
        request.run()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    del sys.path[0]  # This folder.
    main(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]))
