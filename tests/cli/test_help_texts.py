"""Help that is put together once, and without what takes seconds to import."""

import subprocess
import time

import pytest

from showo_turbo.cli import main as main_module
from showo_turbo.cli.help_texts import help_of
from showo_turbo.cli.main import main
from showo_turbo.errors import UserError
from showo_turbo.utils.remembered import CACHE_VARIABLE

WITHOUT_TORCH = """
import sys
from showo_turbo.cli import generate
try:
    generate.run(["--help"])
except SystemExit:
    pass
assert not {"torch", "lightning", "transformers"} & sys.modules.keys()
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    # The package may have been edited just now; it is an hour later.
    later = time.time_ns() + 3600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)


def shown(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code
    return capsys.readouterr().out


def test_the_help_of_generate_needs_no_torch(tmp_path):
    import sys

    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr
    assert "--sampling_steps" in ended.stdout and "Denoising steps" in ended.stdout


def test_it_is_put_together_once(capsys, monkeypatch):
    first = shown(capsys, "generate", "--help")
    assert first.startswith("usage: showo-turbo generate")
    monkeypatch.setattr(main_module, "_run", None)  # would fail
    assert shown(capsys, "generate", "-h") == first
    monkeypatch.setenv("COLUMNS", "40")
    with pytest.raises(TypeError):
        main(["generate", "--help"])


@pytest.mark.bad_input
def test_what_goes_wrong_is_not_remembered():
    def broken(arguments):
        raise UserError("a mistake")

    def refusing(arguments):
        raise SystemExit(2)

    for run, error in ((broken, UserError), (refusing, SystemExit)):
        with pytest.raises(error):
            help_of("fit", run)
    assert help_of("fit", lambda arguments: print(*arguments)) == "fit --help\n"
