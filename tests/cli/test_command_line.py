from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from showo_turbo.cli.command_line import build_parser, run_function
from showo_turbo.cli.messages import one_line
from showo_turbo.errors import UserError


@dataclass(frozen=True)
class Brush:
    """How it is painted.

    Args:
        width: Of the brush, in pixels.
        kind: What it is made of.
    """

    width: int = 3
    kind: Literal["hair", "foam"] = "hair"

    def __post_init__(self):
        if self.width < 1:
            raise UserError(f"width is {self.width}; it must be at least 1")


@dataclass(frozen=True)
class Frame:
    """What is around it.

    Args:
        width: Of the frame, in pixels.
        color: Its color.
    """

    width: int
    color: str = "gold"


CALLS = []


def paint(
    folder: Path,
    title: str | None = None,
    brush: Brush = Brush(),
    frame: Frame | None = None,
    underpainting: Brush = Brush(width=9),
) -> None:
    """Paint a picture.

    It takes a while.

    Args:
        folder: Where it goes.
        title: Its name.
        brush: The brush.
        frame: The frame.
        underpainting: The brush for the first layer.
    """
    CALLS.append((folder, title, brush, frame, underpainting))


def hang(
    names: list[str],
    wall: str,
    straight: bool = True,
    covered: bool = False,
    brush: Brush = Brush(),
) -> None:
    """Hang pictures.

    Args:
        names: Which ones.
        wall: Where.
        straight: Whether to look twice.
        covered: Whether to cover them.
        brush: A brush.
    """
    CALLS.append((names, wall, straight, covered, brush))


def call(function, *arguments, **options):
    CALLS.clear()
    run_function(function, arguments, name="studio", **options)
    return CALLS[0]


def paint_with(*arguments):
    return call(paint, *arguments, nested=("underpainting",))


def test_defaults():
    assert paint_with("out") == (Path("out"), None, Brush(), None, Brush(9))


def test_a_dataclass_is_a_group_of_plain_options():
    assert paint_with("out", "--width", "7", "--kind=foam")[2] == Brush(7, "foam")


def test_a_nested_one_keeps_its_name():
    assert paint_with("out", "--underpainting.kind", "foam")[4] == Brush(9, "foam")


def test_an_optional_one_stays_nested():
    options = ("--frame.width", "4", "--frame.color", "black")
    assert paint_with("out", *options)[3] == Frame(4, "black")


def test_a_file_of_options_of_another_editor(tmp_path):
    (tmp_path / "options.yaml").write_text("title: é\n", encoding="utf-8-sig")
    assert paint_with("out", "--config", str(tmp_path / "options.yaml"))[1] == "é"


def test_positional_lists():
    assert call(hang, "a", "b c", "--wall", "north", listed="names") == (
        ["a", "b c"],
        "north",
        True,
        False,
        Brush(),
    )
    assert call(hang, "--wall", "north", listed="names")[0] == []


def test_switches():
    found = call(hang, "--wall", "north", "--no_straight", "--covered", listed="names")
    assert found[2:4] == (False, True)


def test_options_from_yaml(tmp_path):
    (tmp_path / "a.yaml").write_text("title: sea\nwidth: 8\nframe: {width: 2}\n")
    found = paint_with("out", "--config", str(tmp_path / "a.yaml"), "--title", "sky")
    assert found == (Path("out"), "sky", Brush(8), Frame(2), Brush(9))


def test_the_help_is_the_docstrings(capsys):
    with pytest.raises(SystemExit) as ended:
        paint_with("--help")
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in (
        "usage: showo-turbo studio",
        "Paint a picture. It takes a while.",
        "Where it goes. (required, type: Path)",
        "How it is painted",
        "Of the brush, in pixels. (type: int, default: 3)",
    ):
        assert part in text


def test_every_argument_has_a_help():
    parser, groups = build_parser(paint, "studio", nested=("underpainting",))
    assert groups == {"brush": Brush}
    assert all(action.help for action in parser._actions)


@pytest.mark.bad_input
class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "the following arguments are required: folder"),
            (["out", "--width", "wide"], "width: wide is not of type int"),
            (["out", "--kind", "wool"], "kind: wool is not one of 'hair', 'foam'"),
            (["out", "--size", "3"], "unrecognized arguments: --size 3"),
            (["out", "--wid", "3"], "unrecognized arguments: --wid 3"),
            (["out", "--frame.width", "wide"], "wide is not of type int"),
            (["out", "--frame.color", "red"], "required: width"),
        ],
    )
    def test_of_the_command_line(self, arguments, message):
        with pytest.raises(UserError) as caught:
            paint_with(*arguments)
        assert message in str(caught.value)
        assert str(caught.value).endswith("; see showo-turbo studio --help")
        assert "\n" not in str(caught.value)

    def test_of_a_value(self):
        with pytest.raises(UserError, match="width is 0"):
            paint_with("out", "--width", "0")

    def test_of_a_yaml_file_that_is_not_there(self):
        with pytest.raises(UserError, match=r"none\.yaml does not exist"):
            paint_with("out", "--config", "none.yaml")

    def test_of_a_yaml_file(self, tmp_path):
        (tmp_path / "a.yaml").write_text("tittle: sea\n")
        with pytest.raises(UserError, match="tittle"):
            paint_with("out", "--config", str(tmp_path / "a.yaml"))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            'Parser key "model":\n'
            "  Does not validate against any of the Union subtypes\n"
            "  Subtypes: [<class 'LightningModule'>, <class 'NoneType'>]\n"
            "  Errors:\n"
            "    - Problem with given class_path 'showo_turbo.training.ShowoTurbo':\n"
            "        Group 'weights' does not accept option 'image'\n"
            "    - Expected a <class 'NoneType'>\n"
            "  Given value type: <class 'dict'>\n"
            "  Given value: {'class_path': 'ShowoTurbo'}",
            "model: ShowoTurbo: weights: there is no option 'image'",
        ),
        (
            "Expected a dot import path string: Nothing",
            "there is no class 'Nothing'",
        ),
        ("Subcommand 'fit' does not accept option 'a.b'", "there is no option 'a.b'"),
        ("something else entirely", "something else entirely"),
        (
            'Parser key "trainer.max_epochs":\n'
            "  Does not validate against any of the Union subtypes\n"
            "  Errors:\n"
            "    - Expected a <class 'int'>\n"
            "    - Expected a <class 'NoneType'>\n"
            "  Given value type: <class 'str'>\n"
            "  Given value: few",
            "trainer.max_epochs: expected int, got few",
        ),
        ("Given value: only noise", "got only noise"),
        (
            "Group 'data' does not accept option 'size'\n"
            "Given value: NestedArg(key='size', val='20')",
            "data: there is no option 'size', got '20'",
        ),
        ("Errors:", "Errors:"),
        (
            'Parser key "trainer.callbacks":\n'
            "  Does not validate against any of the Union subtypes\n"
            "  Errors:\n"
            "    - Problem with given class_path 'showo_turbo.Stage':\n"
            "        Option 'image_segmets' is not accepted\n"
            "    - Not a valid subclass of Callback\n"
            "      Subclass types expect one of:\n"
            "      - a class path (str)\n"
            "      - a dict with class_path entry\n"
            "      - a dict without class_path but with init_args entry (class path given before)\n"
            "      - a dict with parameters accepted by the base class (implicit class_path)\n"
            "  Given value: [{'stages': []}]",
            "trainer.callbacks: Stage: there is no option 'image_segmets', expected "
            "'image_segments'",
        ),
        (
            'Parser key "losses":\n'
            "  - Not a valid subclass of LossTerm. Got value: 3\n"
            "    Subclass types expect one of:\n"
            "    - a class path (str)\n",
            "losses: expected a LossTerm, as {class_path: ..., init_args: {...}}, got 3",
        ),
        (
            "Type typing.Callable[[Optimizer], LRScheduler] expects a function or a callable "
            "class: Option 'strat_factor' is not accepted. Got value: Namespace("
            "class_path='torch.optim.lr_scheduler.LinearLR', init_args=Namespace(strat_factor=1))",
            "LinearLR: there is no option 'strat_factor', expected 'start_factor'",
        ),
    ],
)
def test_messages_in_one_line(message, expected):
    assert one_line(message) == expected
