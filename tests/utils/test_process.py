"""Settings of the process."""

import os
import subprocess
import sys

import pytest

from showo_turbo.utils.process import limit_spinning

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """The test's own environment variables."""
    monkeypatch.setattr(os, "environ", {k: v for k, v in os.environ.items() if k not in NAMES})


def test_threads_spin_for_a_short_while():
    limit_spinning()
    assert int(os.environ["GOMP_SPINCOUNT"]) > 0
    assert "OMP_WAIT_POLICY" not in os.environ


@pytest.mark.parametrize("name", NAMES)
def test_what_the_user_has_set_stays(name):
    os.environ[name] = "7"
    limit_spinning()
    assert {key: os.environ[key] for key in NAMES if key in os.environ} == {name: "7"}


def test_the_command_says_so_before_torch_is_loaded():
    code = (
        "import os, sys; from showo_turbo.cli.main import main; main(['--version']);"
        "sys.exit('torch' in sys.modules or 'GOMP_SPINCOUNT' not in os.environ)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
