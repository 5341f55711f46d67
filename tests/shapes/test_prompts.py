from typing import Any

import pytest

from showo_turbo.errors import UserError
from showo_turbo.shapes.prompts import Prompt, Requirement, find_mismatch, satisfies
from showo_turbo.shapes.scene import Scene, SceneObject
from showo_turbo.shapes.splits import SPLITS, held_out_prompts

LEFT_OF = Prompt(
    "a photo of a circle left of a square on a white background",
    "position",
    (Requirement("circle"), Requirement("square")),
    "left of",
    "white",
)


def scene(*objects: tuple[str, str, int, int], background: str = "white") -> Scene:
    return Scene(tuple(SceneObject(*item) for item in objects), background)


def test_metadata_has_genevals_layout() -> None:
    assert LEFT_OF.to_metadata() == {
        "tag": "position",
        "include": [
            {"class": "square", "count": 1},
            {"class": "circle", "count": 1, "position": ["left of", 0]},
        ],
        "prompt": LEFT_OF.text,
        "background": "white",
    }


@pytest.mark.parametrize("split", SPLITS)
def test_metadata_reads_back(split: str) -> None:
    prompts = held_out_prompts(split)
    assert [Prompt.from_metadata(prompt.to_metadata()) for prompt in prompts] == prompts


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tag": "colours"}, "tag is 'colours', expected one of single_object"),
        ({"background": "gray"}, "background is 'gray'"),
        ({"include": [{"class": "star", "count": 1}]}, "class is 'star'"),
        ({"include": [{"class": "circle", "color": "pink"}]}, "color is 'pink'"),
        ({"include": [{"class": "circle", "position": ["left of", 0]}]}, "1 objects, expected 2"),
        ({"include": [{"class": "circle", "position": ["near", 0]}]}, "position is 'near'"),
        ({"include": [{"count": 1}]}, "expected the keys"),
        ({"include": 3}, "expected the keys"),
    ],
)
def test_bad_metadata_is_one_clear_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        Prompt.from_metadata({**LEFT_OF.to_metadata(), **change})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (scene(("circle", "red", 2, 0), ("square", "red", 0, 1)), ""),
        (scene(("circle", "red", 0, 0), ("square", "red", 0, 1), background="black"), "background"),
        (scene(("circle", "red", 0, 1), ("square", "red", 0, 0)), "not left of"),
        (scene(("circle", "red", 0, 1), ("square", "red", 2, 1)), "not left of"),
        (scene(("circle", "red", 0, 1)), "expected 1 square, found 0"),
        (
            scene(("circle", "red", 0, 0), ("square", "red", 0, 1), ("cross", "red", 1, 1)),
            "2 objects in all, found 3",
        ),
        (
            scene(("circle", "red", 0, 0), ("circle", "blue", 1, 0), ("square", "red", 0, 1)),
            "expected 1 circle, found 2",
        ),
    ],
)
def test_a_scene_must_hold_exactly_what_the_prompt_says(found: Scene, reason: str) -> None:
    assert satisfies(found, LEFT_OF) is (reason == "")
    assert reason in find_mismatch(found, LEFT_OF)


@pytest.mark.parametrize(
    ("relation", "row", "column"),
    [("left of", 1, 0), ("right of", 1, 2), ("above", 0, 1), ("below", 2, 1)],
)
def test_relations_are_strict(relation: str, row: int, column: int) -> None:
    prompt = Prompt("", "position", (Requirement("circle"), Requirement("square")), relation)
    square = ("square", "red", 1, 1)
    assert satisfies(scene(("circle", "red", row, column), square), prompt)
    assert not satisfies(scene(("circle", "red", 2 - row, 2 - column), square), prompt)
    # Seen along the other axis the two are level.
    assert not satisfies(scene(("circle", "red", column, row), square), prompt)


def test_colors_belong_to_their_shapes() -> None:
    prompt = Prompt(
        "a red circle and a blue square",
        "color_attribution",
        (Requirement("circle", "red"), Requirement("square", "blue")),
    )
    assert satisfies(scene(("circle", "red", 0, 0), ("square", "blue", 1, 1)), prompt)
    assert not satisfies(scene(("circle", "blue", 0, 0), ("square", "red", 1, 1)), prompt)
