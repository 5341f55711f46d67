"""Every command on every page, parsed by the parser that parses it in earnest."""

import re
import shutil
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from showo_turbo.cli.lightning import _CLI
from showo_turbo.cli.main import main
from showo_turbo.cli.messages import OneLineErrors

from .pages import PAGES, ROOT, commands, forget_modules, write_files

OURS = [command for command in commands() if command.words[0] == "showo-turbo"]
OTHERS = [command for command in commands() if command.words[0] != "showo-turbo"]
FOREIGN = {"bash", "docker", "hf", "lint-imports", "lmms-eval", "mypy", "pytest", "ruff"}
FOREIGN |= {"sbatch", "sphinx-build", "tensorboard"}
"""Programs of others, whose options are theirs."""


class Parsed(BaseException):
    """What ends a command that has been parsed."""


@pytest.fixture
def parse(tmp_path, monkeypatch):
    """Parses a command in a folder like the repository, and ends it before anything is built."""

    def stop(*arguments, **options):
        raise Parsed

    monkeypatch.setattr(OneLineErrors, "instantiate", stop)
    monkeypatch.setattr(_CLI, "instantiate_classes", stop)
    monkeypatch.setattr(_CLI, "check_checkpoint", lambda self: None)
    monkeypatch.setattr("showo_turbo.cli.sweep.sweep", stop)
    monkeypatch.setattr("showo_turbo.cli.plan.plan", stop)
    for name in ("configs", "recipes", "benchmarks", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "config.yaml").symlink_to(ROOT / "configs/quickstart.yaml")
    (tmp_path / "examples").mkdir()
    for folder in (ROOT / "examples").iterdir():
        if folder.is_dir():
            shutil.copytree(folder, tmp_path / "examples" / folder.name)
    own = set(sys.modules)

    def run(command):
        page = command.block.page
        place = tmp_path
        if (ROOT / "examples") in page.parents:
            place = tmp_path / page.parent.relative_to(ROOT)
        write_files(page, place)
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
        monkeypatch.setattr(sys, "argv", list(command.words))
        main()

    yield run
    forget_modules(own, tmp_path)


def test_the_commands_are_found():
    assert len(PAGES) > 15
    assert len(OURS) > 50
    shown = {command.words[1] for command in OURS}
    assert shown >= {"fit", "validate", "generate", "answer", "collect", "sweep", "report"}


@pytest.mark.parametrize("command", OURS, ids=str)
def test_a_command_of_ours_is_parsed(command, parse):
    words = command.words
    if {"--help", "--version"} & set(words):
        if len(words) == 2:
            parse(command)
            return
        with pytest.raises(SystemExit) as ended:
            parse(command)
        assert ended.value.code == 0
        return
    with pytest.raises(Parsed):
        parse(command)


@pytest.mark.parametrize("command", OTHERS, ids=str)
def test_a_command_of_others_names_what_exists(command):
    """Scripts, requirement files and extras; a program that a page must not invent."""
    name, *arguments = command.words
    if name == "python":
        script = next(word for word in arguments if not word.startswith("-"))
        assert arguments[0] == "-m" or any(
            (folder / script).is_file() for folder in (ROOT, command.block.page.parent)
        )
    elif name == "pip":
        parser = ConfigParser()
        parser.read(ROOT / "setup.cfg", encoding="utf-8")
        extras = re.findall(r"\.\[(.*)\]", " ".join(arguments))
        for extra in ",".join(extras).split(",") if extras else []:
            assert extra in parser["options.extras_require"], extra
        if "-r" in arguments:
            assert Path(ROOT, arguments[arguments.index("-r") + 1]).is_file()
    else:
        assert name in FOREIGN, f"is there a program {name}?"
