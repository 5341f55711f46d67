"""The Python of other tests that starts at once behaves as one that does not."""

import os
import signal
import subprocess
import sys

import pytest


@pytest.fixture(params=["forked", "fresh"])
def any_python(request, python):
    return python if request.param == "forked" else sys.executable


def run(python, *arguments, **options):
    return subprocess.run([python, *arguments], capture_output=True, text=True, **options)


def test_arguments_environment_and_folder(any_python, tmp_path):
    code = "import os, sys; print(sys.argv, os.environ['MINE'], os.getcwd()); input()"
    (tmp_path / "a.py").write_text(f"assert __name__ == '__main__'; {code}")
    for what, name in ((["-c", code], "-c"), (["a.py"], "a.py")):
        options = {"cwd": tmp_path, "env": os.environ | {"MINE": "1"}, "input": "x"}
        ended = run(any_python, *what, "b", "--c", **options)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout == f"{[name, 'b', '--c']} 1 {tmp_path}\n"
    module = run(any_python, "-m", "a", cwd=tmp_path, env=os.environ | {"MINE": "2"}, input="x")
    assert module.stdout == f"{[str(tmp_path / 'a.py')]} 2 {tmp_path}\n"


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("sys.exit(3)", 3, ""),
        ("sys.exit('too bad')", 1, "too bad"),
        ("sys.exit()", 0, ""),
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
        ("os.kill(os.getpid(), 9)", -9, ""),
        ("atexit.register(os._exit, 4)", 4, ""),
    ],
)
def test_its_status_is_that_of_the_process(any_python, code, status, error):
    ended = run(any_python, "-c", f"import atexit, os, sys; {code}")
    assert (ended.returncode, ended.stderr.strip().split("\n")[-1]) == (status, error)


WAITS = """
import os, signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: (os.write({descriptor}, b"heard"), sys.exit(5)))
os.write({descriptor}, b"ready")
time.sleep(60)
"""


@pytest.mark.parametrize(("sent", "status"), [("SIGKILL", -9), ("SIGTERM", -15), ("SIGUSR1", 5)])
def test_signals_reach_the_process(any_python, sent, status):
    reading, writing = os.pipe()
    code = WAITS.format(descriptor=writing)
    process = subprocess.Popen([any_python, "-c", code], pass_fds=[writing])
    os.close(writing)
    assert os.read(reading, 99) == b"ready"
    process.send_signal(signal.Signals[sent])
    rest = b""
    while part := os.read(reading, 99):  # To its end, which is that of the process.
        rest += part
    os.close(reading)
    assert process.wait() == status and rest == (b"heard" if status == 5 else b"")


CHILD = """
import os, time
parent, end = os.getppid(), time.monotonic() + 60
print(flush=True)
while os.getppid() == parent and time.monotonic() < end:
    time.sleep(0.01)
os.write(2, b"not orphaned" if os.getppid() == parent else b"orphaned")
"""
PARENT = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdout=subprocess.PIPE)
child.stdout.readline()
os.kill(os.getpid(), 9)
"""


def test_a_child_sees_that_its_parent_was_killed(any_python):
    ended = run(any_python, "-c", PARENT)
    assert (ended.returncode, ended.stderr) == (-9, "orphaned")


def test_the_imports_are_done(python):
    ended = run(python, "-c", "import sys; print('showo_turbo.cli.lightning' in sys.modules)")
    assert ended.stdout == "True\n"
