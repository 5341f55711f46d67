"""Inference where there is only what Windows has: see what Python's documentation calls Unix."""

import os
import subprocess
import sys

import pytest

from .tiny import write_tiny_model

AS_ON_WINDOWS = """
import errno, os, signal, stat, sys
from fcntl import F_GETFL, fcntl

# Other people's packages see to Windows themselves, by the name of the platform.
import filelock, torchvision.transforms.v2, transformers.models.phi.modeling_phi

for name in ("fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "syslog"):
    sys.modules[name] = None
for name in ("O_NONBLOCK", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC", "mkfifo", "sysconf",
             "sched_getaffinity", "getuid", "geteuid", "getpgid", "killpg", "fork"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGKILL", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGALRM"):
    delattr(signal, name)

opened, synced = os.open, os.fsync

def open_file(path, *arguments, **options):
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "a folder cannot be opened", str(path))
    return opened(path, *arguments, **options)

def sync(descriptor):
    if fcntl(descriptor, F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "what is only read cannot be synced")
    synced(descriptor)

os.open, os.fsync = open_file, sync
"""

INFERENCE = """
import showo_turbo.inference, showo_turbo.data, showo_turbo.metrics
from showo_turbo import ShowoPipeline
from showo_turbo.cli.main import main

main(["generate", "a circle", "--model", "model", "--output", "drawn"])
main(["answer", "drawn", "--question", "What?", "--model", "model", "--max_new_tokens", "4",
      "--output", "answers"])
pipeline = ShowoPipeline.from_pretrained("model")
assert pipeline.generate("a circle").images[0].size == (16, 16)
print("done")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nothing need be taken away")
def test_inference_needs_nothing_of_unix(tmp_path):
    write_tiny_model(tmp_path / "model")
    ended = subprocess.run(
        [sys.executable, "-c", AS_ON_WINDOWS + INFERENCE],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "done"
    assert (tmp_path / "drawn" / "00000.png").is_file()
    assert (tmp_path / "answers" / "answers.jsonl").read_text(encoding="utf-8").count("\n") == 1
