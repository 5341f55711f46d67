"""Images that were changed by hand: what is right, and every kind of mistake that is planted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.evaluation import ABILITIES, AbilityCase
from showo_turbo.sampling.windows import plan_growth
from showo_turbo.shapes import ShapesChecker
from showo_turbo.shapes.ability_cases import Truth
from showo_turbo.shapes.checker import read_image
from showo_turbo.shapes.combinations import shows_held_out
from showo_turbo.shapes.prompts import Prompt, Requirement, satisfies
from showo_turbo.shapes.render import render
from showo_turbo.shapes.scene import Scene, SceneObject
from showo_turbo.shapes.splits import held_out_prompts, reserved_texts
from showo_turbo.utils.images import to_bytes

CHECKER = ShapesChecker()
COUNT = 60

RED_CIRCLE = SceneObject("circle", "red", 0, 0)
BLUE_SQUARE = SceneObject("square", "blue", 2, 1)
BEFORE = Scene((RED_CIRCLE, BLUE_SQUARE), "white")


def picture(*scenes):
    """Scenes side by side, as a model would draw them: `(1, 3, 24, 24 * scenes)`."""
    pixels = np.concatenate([render(scene) for scene in scenes], axis=1)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1


def case(task, *wanted, before=BEFORE, cell=None, ability="editing"):
    texts = tuple(prompt.text for prompt in wanted)
    return AbilityCase(ability, task, texts, picture(before)[0], truth=Truth(wanted, before, cell))


def judged(own, pixels):
    return CHECKER.satisfied([own], pixels) + CHECKER.rest_unchanged([own], pixels)


GREEN = Prompt(
    "a green circle and a blue square",
    "color_attribution",
    (Requirement("circle", "green"), Requirement("square", "blue")),
)
RECOLOR = case("recolor", GREEN, cell=(0, 0))


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ((replace(RED_CIRCLE, color="green"), BLUE_SQUARE), [True, True]),
        ((RED_CIRCLE, BLUE_SQUARE), [False, True]),  # nothing was done
        ((replace(RED_CIRCLE, color="yellow"), BLUE_SQUARE), [False, True]),
        # It has moved:
        ((replace(RED_CIRCLE, color="green", column=1), BLUE_SQUARE), [True, False]),
        # The other one has moved, and has another color:
        ((replace(RED_CIRCLE, color="green"), replace(BLUE_SQUARE, row=1)), [True, False]),
        ((replace(RED_CIRCLE, color="green"), replace(BLUE_SQUARE, color="red")), [False, False]),
        ((SceneObject("cross", "green", 0, 0), BLUE_SQUARE), [False, False]),
        ((replace(RED_CIRCLE, color="green"),), [False, False]),
    ],
)
def test_recolored_by_hand(after, expected):
    assert judged(RECOLOR, picture(Scene(after, "white"))) == expected


def test_the_background_is_of_the_rest_unless_it_is_to_change():
    green = (replace(RED_CIRCLE, color="green"), BLUE_SQUARE)
    assert judged(RECOLOR, picture(Scene(green, "black"))) == [True, False]
    black = Prompt(
        "a circle and a square on a black background",
        "two_object",
        (Requirement("circle"), Requirement("square")),
        background="black",
    )
    own = case("change background", black)
    assert judged(own, picture(replace(BEFORE, background="black"))) == [True, True]
    assert judged(own, picture(BEFORE)) == [False, True]
    # The prompt does not name the colors, which the image had all the same.
    assert judged(own, picture(Scene(green, "black"))) == [True, False]


def test_another_shape_has_the_color_and_place_of_the_old_one():
    cross = Prompt(
        "a cross and a square", "two_object", (Requirement("cross"), Requirement("square"))
    )
    own = case("change shape", cross, cell=(0, 0))
    assert judged(
        own, picture(Scene((SceneObject("cross", "red", 0, 0), BLUE_SQUARE), "white"))
    ) == [
        True,
        True,
    ]
    blue = Scene((SceneObject("cross", "blue", 0, 0), BLUE_SQUARE), "white")
    assert judged(own, picture(blue)) == [True, False]


def test_an_image_that_cannot_be_read_has_changed():
    noise = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert judged(RECOLOR, noise) == [False, False]


CIRCLE = Prompt("a red circle", "colors", (Requirement("circle", "red"),))
CROSS = Prompt("a cross", "single_object", (Requirement("cross"),))
BOTH = Prompt(
    "a circle left of a cross",
    "position",
    (Requirement("circle"), Requirement("cross")),
    "left of",
)


@pytest.mark.parametrize(
    ("column", "shape", "expected"),
    [
        (0, "cross", True),
        (1, "cross", False),  # so the square from the second column on shows no cross
        (0, "square", False),
    ],
)
def test_every_square_of_a_wide_image_is_checked(column, shape, expected):
    """A circle in column 1 of 6, and what was drawn in one of the three new columns."""
    given = Scene((SceneObject("circle", "red", 1, 1),), "white")
    grown = Scene((SceneObject(shape, "blue", 0, column),), "white")
    own = case("grow", CIRCLE, BOTH, CROSS, CROSS, before=given, ability="extrapolation")
    assert CHECKER.satisfied([own], picture(given, grown)) == [expected]
    with pytest.raises(ValueError, match="24 pixels wide"):
        CHECKER.satisfied([own], picture(given))


def target(own):
    """What an edited image should show, from its case alone."""
    truth = own.truth
    (prompt,) = truth.wanted
    if own.task == "change background":
        return replace(truth.before, background=prompt.background)
    name = "color" if own.task == "recolor" else "shape"
    values = [getattr(wanted, name) for wanted in prompt.requirements]
    found = [
        replace(
            truth.before,
            objects=tuple(
                replace(item, **{name: value}) if (item.row, item.column) == truth.cell else item
                for item in truth.before.objects
            ),
        )
        for value in values
    ]
    return next(scene for scene in found if satisfies(scene, prompt))


@pytest.mark.parametrize("ability", ABILITIES)
def test_cases_are_always_the_same_and_held_out(ability):
    cases, fewer = CHECKER.ability_cases(ability, COUNT), CHECKER.ability_cases(ability, 7)
    test_texts = {prompt.text for prompt in held_out_prompts("test")}
    for own, again in zip(cases, fewer, strict=False):
        assert (own.task, own.prompts) == (again.task, again.prompts)
        assert torch.equal(own.pixels, again.pixels)
    for own in cases:
        assert set(own.prompts) <= test_texts <= reserved_texts()
        assert read_image(to_bytes(own.pixels[None])[0]) == own.truth.before
    assert len({own.prompts for own in cases}) > COUNT / 2
    other = CHECKER.ability_cases(ability, COUNT, "validation")
    assert not {text for own in other for text in own.prompts} & test_texts


def test_edits_have_something_to_do_and_can_be_done():
    cases = CHECKER.ability_cases("editing", COUNT)
    assert [own.task for own in cases[:3]] == ["recolor", "change shape", "change background"]
    before = torch.stack([own.pixels for own in cases])
    assert not any(CHECKER.satisfied(cases, before))
    assert all(CHECKER.rest_unchanged(cases, before))
    targets = [target(own) for own in cases]
    assert not any(map(shows_held_out, targets))
    after = torch.cat(list(map(picture, targets)))
    assert all(CHECKER.satisfied(cases, after)) and all(CHECKER.rest_unchanged(cases, after))


def test_masks_cover_cells_and_mostly_objects_that_the_prompt_names():
    cases = CHECKER.ability_cases("inpainting", COUNT)
    covered = 0
    for own in cases:
        cells = own.mask.reshape(3, 8, 3, 8).permute(0, 2, 1, 3).flatten(2)
        whole = cells.amin(dim=-1)
        assert torch.equal(whole, cells.amax(dim=-1)), "a cell is masked as a whole or not at all"
        assert 2 <= whole.sum() <= 4
        covered += any(whole[item.row, item.column] for item in own.truth.before.objects)
        satisfied = satisfies(own.truth.before, own.truth.wanted[0])
        assert satisfied is (own.task == "restore")
        if own.task == "replace":
            assert whole[own.truth.cell]
    assert covered >= COUNT / 2
    assert {own.task for own in cases} == {"restore", "replace"}


def test_images_grow_to_three_by_six_cells():
    cases = CHECKER.ability_cases("extrapolation", COUNT)
    for own in cases:
        growth = plan_growth(6, own.directions, own.offset)
        assert (growth.rows, growth.columns, growth.column) == (6, 12, 0)
        assert [window.column for window in growth.windows] == [2, 4, 6]
        assert len(own.prompts) == 4 and satisfies(own.truth.before, own.truth.wanted[0])
    new = [own for own in cases if own.truth.wanted[3] != own.truth.wanted[0]]
    assert len(new) > COUNT / 2, "what is to appear is not what is there"


@pytest.mark.bad_input
def test_cases_of_an_unknown_split():
    with pytest.raises(UserError, match="choose test or validation"):
        CHECKER.ability_cases("editing", 3, "unseen_combination")
