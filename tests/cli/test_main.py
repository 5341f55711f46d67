import inspect
import re
import subprocess
import sys
from importlib import import_module

import pytest
from docstring_parser import parse

from showo_turbo import __version__, callbacks
from showo_turbo.cli import COMMANDS, LIGHTNING_COMMANDS
from showo_turbo.cli import main as cli
from showo_turbo.errors import UserError


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    return ended.value.code


def fail_with(monkeypatch, error):
    def dispatch(arguments):
        raise error

    monkeypatch.setattr(cli, "_dispatch", dispatch)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_overview_lists_all_commands(capsys, arguments):
    cli.main(arguments)
    lines = capsys.readouterr().out.splitlines()
    for name, summary in (LIGHTNING_COMMANDS | COMMANDS).items():
        assert any(line.split(maxsplit=1) == [name, summary] for line in lines)
    assert all(len(line) <= 100 for line in lines)


def test_version(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out.strip() == f"showo-turbo {__version__}"


@pytest.mark.parametrize("name", COMMANDS)
def test_summaries_are_the_first_lines_of_the_helps(name):
    module = import_module(f"showo_turbo.cli.{name.replace('-', '_')}")
    function = getattr(module, name.replace("-", "_"))
    assert parse(inspect.getdoc(function)).short_description == COMMANDS[name]


def unexplained(help_text):
    """The options of a help that say nothing of themselves but their type and default."""
    for entry in help_text.partition("options:")[2].split("\n  --")[1:]:
        words = " ".join(entry.split())
        option = words.split()[0]
        if len(words.partition(" (")[0].removeprefix(option).split()) < 2:
            yield option


@pytest.mark.parametrize("name", [*LIGHTNING_COMMANDS, *COMMANDS])
def test_help_of_each_explains_every_argument(name, capsys):
    assert run(name, "--help") == 0
    shown = capsys.readouterr().out
    assert re.match(rf"usage: showo-turbo (\[options\] )?{name} ", shown)
    assert "\n  --" in shown
    assert list(unexplained(shown)) == []


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("--model.help", "ShowoTurbo"),
        ("--model.help", "PretrainShowo"),
        ("--model.help", "PretrainMAGVITv2"),
        ("--data.help", "DistillationDataModule"),
        ("--data.help", "PretrainDataModule"),
        ("--data.help", "ImageDataModule"),
        *(("--trainer.callbacks.help", name) for name in callbacks.__all__ if name != "Stage"),
    ],
)
def test_help_of_each_class_explains_every_argument(option, name, capsys):
    assert run("fit", option, name) == 0
    shown = capsys.readouterr().out
    assert "\n  --" in shown
    assert list(unexplained(f"options:{shown}")) == []


@pytest.mark.bad_input
class TestMistakes:
    def test_an_unknown_command(self, capsys):
        assert run("generat") == 2
        assert capsys.readouterr().err == (
            "showo-turbo: there is no command 'generat'; did you mean 'generate'?\n"
        )
        assert run("--steps") == 2
        assert "choose one of fit, validate" in capsys.readouterr().err

    def test_one_line_and_no_traceback(self, monkeypatch, capsys):
        fail_with(monkeypatch, UserError("steps is 0; choose 1 to 16"))
        assert run("generate") == 2
        captured = capsys.readouterr()
        assert captured.err == "showo-turbo: steps is 0; choose 1 to 16\n"
        assert captured.out == ""

    def test_what_a_library_wrapped(self, monkeypatch, capsys):
        wrapped = ValueError("many\nlines")
        wrapped.__cause__ = TypeError()
        wrapped.__cause__.__cause__ = UserError("steps is 0")
        fail_with(monkeypatch, wrapped)
        assert run("generate") == 2
        assert capsys.readouterr().err == "showo-turbo: steps is 0\n"

    def test_debug_shows_the_traceback(self, monkeypatch):
        fail_with(monkeypatch, UserError("steps is 0"))
        with pytest.raises(UserError):
            cli.main(["generate", "--debug"])


def test_an_interruption(monkeypatch, capsys):
    fail_with(monkeypatch, KeyboardInterrupt())
    assert run("generate") == 130
    assert capsys.readouterr().err == "showo-turbo: interrupted\n"


def test_an_error_of_the_program_keeps_its_traceback(monkeypatch):
    fail_with(monkeypatch, ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        cli.main(["generate"])


def test_the_overview_is_there_at_once():
    """Without importing PyTorch, Lightning or jsonargparse."""
    code = (
        "import sys; from showo_turbo.cli.main import main; main(['--help']);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'lightning', 'jsonargparse')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: showo-turbo COMMAND" in done.stdout


def test_the_working_directory_is_importable(tmp_path, monkeypatch):
    (tmp_path / "my_module_for_the_test.py").write_text("VALUE = 3\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    cli.main(["--version"])
    assert import_module("my_module_for_the_test").VALUE == 3
