"""Models, images and a way to run the command as the console script does."""

import sys
from types import SimpleNamespace

import pytest

from showo_turbo.cli.main import main

from ..tiny import write_tiny_model


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A folder with tiny networks that draw images of 16 px."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def command(capsys, monkeypatch):
    """Runs `showo-turbo`; gives its status, output and errors."""

    def run(*arguments):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["showo-turbo", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = ended.code or 0
        captured = capsys.readouterr()
        return SimpleNamespace(status=status, output=captured.out, errors=captured.err)

    return run


@pytest.fixture
def mistake(command):
    """Runs `showo-turbo` with a mistake in it; gives the one line that says so."""

    def run(*arguments):
        result = command(*arguments)
        assert result.status == 2, result
        lines = result.errors.strip().splitlines()
        assert lines[-1].startswith("showo-turbo: ")
        assert "Traceback" not in result.errors
        return lines[-1].removeprefix("showo-turbo: ")

    return run
