"""Images of the shapes world to change: what is there, and what is asked for.

Every case is a function of the split, the ability and its number. Its prompt is one that training
never repeats; the image that should come of it shows no combination that is held out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError, shown
from ..evaluation.abilities import Ability, AbilityCase
from ..sampling.windows import Direction
from .combinations import shows_held_out
from .prompts import Prompt, satisfies
from .render import render
from .sampling import draw_scene, generator
from .scene import (
    BACKGROUNDS,
    CELL_SIZE,
    CELLS,
    COLORS,
    GRID_SIZE,
    IMAGE_SIZE,
    SHAPES,
    Scene,
    SceneObject,
)
from .splits import RESERVED_PER_CATEGORY, held_out_prompts

WIDER = 3
"""Columns of cells that an image grows by, one in each direction."""

MASKED_CELLS = (2, 4)
"""Fewest and most cells that a mask covers."""

CANVAS_OBJECTS = (3, 5)
"""Fewest and most objects of an image that is to grow, together with those that are to appear."""

TOKENS_KEPT_MORE = 1
"""Columns of tokens that a direction keeps beyond half of the image, two cells of three in all."""

_CANVAS_CELLS = [(row, column) for row in range(GRID_SIZE) for column in range(GRID_SIZE + WIDER)]
_ALIKE_SHARE = 1 / 3  # of the images that grow: all of one shape, as prompts that count need it


@dataclass(frozen=True)
class Truth:
    """What the checker knows of a case.

    Attributes:
        wanted: The meaning of the prompts, in their order.
        before: What the image shows.
        cell: Row and column of the object that is to change, if one is.
    """

    wanted: tuple[Prompt, ...]
    before: Scene
    cell: tuple[int, int] | None = None


def make_cases(ability: Ability, count: int, split: str = "test") -> list[AbilityCase]:
    """Cases of an ability, its tasks in turn; see `AbilityChecker.ability_cases`.

    - Inpainting: `restore` masks 2 to 4 cells, of which every other time one holds an object, and
      asks for what the image showed; `replace` masks an object among them, and asks for another
      shape.
    - Extrapolation: `grow` adds three columns of cells on the right, one after the other.
    - Editing: `recolor`, `change shape` and `change background` ask for one thing to be otherwise.

    Raises:
        UserError: For a split that does not have prompts of seen combinations.
    """
    if split not in RESERVED_PER_CATEGORY:
        expected = " or ".join(RESERVED_PER_CATEGORY)
        raise UserError(f"there are no cases of the split {shown(split)}; choose {expected}")
    tasks = list(_TASKS[ability].items())
    cases = []
    for index in range(count):
        task, make = tasks[index % len(tasks)]
        random = generator(0, f"{ability}/{split}", index)
        cases.append(make(task, split, index // len(tasks), random))
    return cases


def _restore(task: str, split: str, number: int, random: Random) -> AbilityCase:
    prompt = random.choice(_prompts(split))
    scene = draw_scene(prompt, random)
    taken = [(item.row, item.column) for item in scene.objects]
    if number % 2 == 0:
        mask = _mask([random.choice(taken)], CELLS, random)
    else:
        mask = _mask([], [cell for cell in CELLS if cell not in taken], random)
    return _case("inpainting", task, Truth((prompt,), scene), mask)


def _replace(task: str, split: str, number: int, random: Random) -> AbilityCase:
    prompt = random.choice(_prompts(split))
    before, cell = _otherwise(draw_scene(prompt, random), "shape", SHAPES, random)
    truth = Truth((prompt,), before, cell)
    return _case("inpainting", task, truth, _mask([cell], CELLS, random))


def _recolor(task: str, split: str, number: int, random: Random) -> AbilityCase:
    prompts = [p for p in _prompts(split) if all(own.color for own in p.requirements)]
    prompt = random.choice(prompts)
    before, cell = _otherwise(draw_scene(prompt, random), "color", COLORS, random)
    return _case("editing", task, Truth((prompt,), before, cell))


def _change_shape(task: str, split: str, number: int, random: Random) -> AbilityCase:
    prompt = random.choice(_prompts(split))
    before, cell = _otherwise(draw_scene(prompt, random), "shape", SHAPES, random)
    return _case("editing", task, Truth((prompt,), before, cell))


def _change_background(task: str, split: str, number: int, random: Random) -> AbilityCase:
    prompt = random.choice([p for p in _prompts(split) if p.background is not None])
    other = random.choice([name for name in BACKGROUNDS if name != prompt.background])
    before = replace(draw_scene(prompt, random), background=other)
    return _case("editing", task, Truth((prompt,), before))


def _grow(task: str, split: str, number: int, random: Random) -> AbilityCase:
    known = _by_shapes(split)
    while True:
        windows = _draw_windows(random)
        fitting = [
            [prompt for prompt in known.get(_shapes(scene), ()) if satisfies(scene, prompt)]
            for scene in windows
        ]
        if all(fitting) and not any(map(shows_held_out, windows)):
            wanted = tuple(map(random.choice, fitting))
            return _case("extrapolation", task, Truth(wanted, windows[0]))


def _draw_windows(random: Random) -> list[Scene]:
    """What a random wide image shows in each of its squares, from left to right."""
    cells = random.sample(_CANVAS_CELLS, random.randint(*CANVAS_OBJECTS))
    shapes = random.choices(SHAPES, k=len(cells))
    if random.random() < _ALIKE_SHARE:
        shapes = shapes[:1] * len(cells)
    colors = random.choices(COLORS, k=len(cells))
    background = random.choice(BACKGROUNDS)
    return [
        Scene(
            tuple(
                SceneObject(shape, color, row, column - first)
                for shape, color, (row, column) in zip(shapes, colors, cells, strict=True)
                if first <= column < first + GRID_SIZE
            ),
            background,
        )
        for first in range(WIDER + 1)
    ]


def _otherwise(
    scene: Scene, attribute: str, values: Sequence[str], random: Random
) -> tuple[Scene, tuple[int, int]]:
    """The scene with another shape or color of one of its objects, and where that is."""
    chosen = random.choice(scene.objects)
    other = random.choice([value for value in values if value != getattr(chosen, attribute)])
    change: dict[str, Any] = {attribute: other}
    objects = tuple(replace(item, **change) if item == chosen else item for item in scene.objects)
    return replace(scene, objects=objects), (chosen.row, chosen.column)


def _mask(
    covered: list[tuple[int, int]], cells: Sequence[tuple[int, int]], random: Random
) -> Tensor:
    """A mask image that is white in some cells, and more of the others."""
    further = [cell for cell in cells if cell not in covered]
    count = random.randint(*MASKED_CELLS) - len(covered)
    mask = torch.zeros(IMAGE_SIZE, IMAGE_SIZE)
    for row, column in [*covered, *random.sample(further, count)]:
        top, left = row * CELL_SIZE, column * CELL_SIZE
        mask[top : top + CELL_SIZE, left : left + CELL_SIZE] = 1
    return mask


def _case(ability: Ability, task: str, truth: Truth, mask: Tensor | None = None) -> AbilityCase:
    right: Direction = "right"
    pixels = torch.from_numpy(render(truth.before)).permute(2, 0, 1) / 127.5 - 1
    return AbilityCase(
        ability,
        task,
        tuple(prompt.text for prompt in truth.wanted),
        pixels,
        mask,
        (right,) * (len(truth.wanted) - 1),
        -TOKENS_KEPT_MORE,
        truth,
    )


@cache
def _prompts(split: str) -> tuple[Prompt, ...]:
    return tuple(held_out_prompts(split))


@cache
def _by_shapes(split: str) -> dict[tuple[str, ...], list[Prompt]]:
    """The prompts by the shapes of their objects."""
    found: dict[tuple[str, ...], list[Prompt]] = {}
    for prompt in _prompts(split):
        shapes = sorted(own.shape for own in prompt.requirements for _ in range(own.count))
        found.setdefault(tuple(shapes), []).append(prompt)
    return found


def _shapes(scene: Scene) -> tuple[str, ...]:
    return tuple(sorted(item.shape for item in scene.objects))


_TASKS: dict[Ability, dict[str, Callable[[str, str, int, Random], AbilityCase]]] = {
    "inpainting": {"restore": _restore, "replace": _replace},
    "extrapolation": {"grow": _grow},
    "editing": {
        "recolor": _recolor,
        "change shape": _change_shape,
        "change background": _change_background,
    },
}
