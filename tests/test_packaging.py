"""What setup.cfg says, against what is there."""

from configparser import ConfigParser
from pathlib import Path

import showo_turbo
import showo_turbo.callbacks

ROOT = Path(__file__).parents[1]


def read_setup() -> ConfigParser:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def test_every_package_is_listed() -> None:
    source = ROOT / "src" / "showo_turbo"
    present = {
        ".".join(["showo_turbo", *file.parent.relative_to(source).parts])
        for file in source.rglob("*.py")
    }
    listed = set(read_setup()["options"]["packages"].split())
    assert len(present) > 5
    assert listed == present | {"showo_turbo.callbacks"}
    assert all((source / Path(*name.split(".")[1:]) / "__init__.py").is_file() for name in listed)


def test_callbacks_have_one_name() -> None:
    assert Path(showo_turbo.callbacks.__file__).resolve().parent == ROOT / "callbacks"
    assert showo_turbo.callbacks.__name__ == "showo_turbo.callbacks"


def test_the_version_is_a_version() -> None:
    assert all(part.isdigit() for part in showo_turbo.__version__.split("."))
