"""Imports run one way: a module may import only from those before it."""

import ast
from pathlib import Path

import pytest

import showo_turbo

ROOT = Path(showo_turbo.__file__).parent

LAYERS = [
    {
        "errors",
        "utils",
        "version",
        "text_tokenizer",
        "models",
    },
    {"sampling"},
    {"trajectories"},
    {"losses"},
    {"targets"},
    {"data", "metrics", "shapes"},
    {"evaluation", "viz", "inference"},
    {"training", "sweeps"},
    {"curriculum"},
    {"callbacks"},
    {"lmms"},
    {"cli", "__main__", "__init__"},
]
PLAIN = [
    "models",
    "sampling",
    "trajectories",
    "losses",
    "evaluation",
    "metrics",
    "sweeps",
]


def part_of(path):
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


def imported(path):
    """Absolute names of what a file imports, wherever in it."""
    package = ["showo_turbo", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *(node.module or "").split(".")]).rstrip(".")
            if name == "showo_turbo":
                yield from (f"showo_turbo.{alias.name}" for alias in node.names)
            else:
                yield name


FILES = sorted(ROOT.rglob("*.py"))


def test_the_files_are_found():
    assert len(FILES) > 50
    assert {part_of(path) for path in FILES} <= set().union(*LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_from_its_own_layer_and_those_before(path):
    place = {name: index for index, layer in enumerate(LAYERS) for name in layer}
    for name in imported(path):
        if name.startswith("showo_turbo."):
            part = name.split(".")[1]
            assert place[part] <= place[part_of(path)], f"{path.name} imports {name}"


@pytest.mark.parametrize("part", PLAIN)
def test_plain_pytorch_knows_nothing_of_lightning(part):
    start = ROOT / part
    for path in [start] if start.is_file() else sorted(start.rglob("*.py")):
        assert not [name for name in imported(path) if name.split(".")[0] == "lightning"], path


FAMILY_TRAINERS = {"training/pretrain_showo.py", "shapes/text_tokenizer.py"}
"""What makes a Show-o, instead of using whatever model it is given."""


def test_a_family_is_known_to_itself_alone():
    known = {
        str(path.relative_to(ROOT))
        for path in FILES
        if path.relative_to(ROOT).parts[0] != "models"
        and any("models.showo" in name for name in imported(path))
    }
    assert known == FAMILY_TRAINERS
