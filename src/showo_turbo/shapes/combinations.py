"""Every combination of shapes, colors and relations that a prompt can ask for.

A combination is a category with a core, the part of a prompt between prefix and background. Cores
that mean the same ("a circle and a square", "a square and a circle"; "a circle left of a square",
"a square right of a circle") belong to one combination, so that holding it out holds out all of
its wordings. Which ones are held out from training is decided by a hash of their names.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import permutations

from .prompts import CATEGORIES, RELATIONS, Requirement
from .scene import COLORS, MAX_OBJECTS, SHAPES, Scene
from .wording import NUMBER_WORDS, plural, with_article

HELD_OUT_COUNTS = {
    "single_object": 0,
    "two_object": 2,
    "counting": 3,
    "colors": 4,
    "position": 6,
    "color_attribution": 27,
}
"""How many combinations of each category never occur in training."""

_SPLIT_SEED = "showo-turbo/shapes/1"


@dataclass(frozen=True)
class Core:
    """The part of a prompt that says what the image holds."""

    text: str
    requirements: tuple[Requirement, ...]
    relation: str | None = None


@dataclass(frozen=True)
class Combination:
    """Cores that mean the same.

    Args:
        category: One of `CATEGORIES`.
        name: Canonical name, unique over all categories.
        cores: The wordings of the core.
        held_out: Whether no training scene may show it.
    """

    category: str
    name: str
    cores: tuple[Core, ...]
    held_out: bool = False


def split_key(text: str) -> str:
    """A hash that is the same on every machine and in every process, for splitting."""
    return hashlib.sha256(f"{_SPLIT_SEED}/{text}".encode()).hexdigest()


def hashed_split(text: str) -> str:
    """The split of what a text says: `test` or `validation`, 5% each, or else `train`."""
    place = int(split_key(text)[:8], 16) / 16**8
    return "test" if place < 0.05 else "validation" if place < 0.1 else "train"


def single_object_name(shape: str) -> str:
    """Name of the combination "a circle"."""
    return f"single_object: {shape}"


def two_object_name(first: str, second: str) -> str:
    """Name of the combination "a circle and a square", whatever the order."""
    return f"two_object: {' + '.join(sorted((first, second)))}"


def counting_name(count: int, shape: str) -> str:
    """Name of the combination "three circles"."""
    return f"counting: {count} {shape}"


def colors_name(color: str, shape: str) -> str:
    """Name of the combination "a red circle"."""
    return f"colors: {color} {shape}"


def position_name(first: str, relation: str, second: str) -> str:
    """Name of the combination "a circle left of a square", told from either object."""
    if relation in ("right of", "below"):
        opposite = "left of" if relation == "right of" else "above"
        return position_name(second, opposite, first)
    return f"position: {first} {relation} {second}"


def color_attribution_name(first: tuple[str, str], second: tuple[str, str]) -> str:
    """Name of the combination "a red circle and a blue square" from (color, shape) pairs."""
    return f"color_attribution: {' + '.join(sorted((' '.join(first), ' '.join(second))))}"


def _named_cores() -> Iterator[tuple[str, str, Core]]:
    """Every core with its category and the name of its combination."""
    for shape in SHAPES:
        for subject in (with_article(shape), f"one {shape}", f"a single {shape}"):
            core = Core(subject, (Requirement(shape),))
            yield "single_object", single_object_name(shape), core
        for count in range(2, MAX_OBJECTS + 1):
            core = Core(
                f"{NUMBER_WORDS[count]} {plural(shape)}", (Requirement(shape, count=count),)
            )
            yield "counting", counting_name(count, shape), core
        for color in COLORS:
            core = Core(with_article(f"{color} {shape}"), (Requirement(shape, color),))
            yield "colors", colors_name(color, shape), core
    for first, second in permutations(SHAPES, 2):
        pair = (Requirement(first), Requirement(second))
        text = f"{with_article(first)} and {with_article(second)}"
        yield "two_object", two_object_name(first, second), Core(text, pair)
        for relation in RELATIONS:
            text = f"{with_article(first)} {relation} {with_article(second)}"
            name = position_name(first, relation, second)
            yield "position", name, Core(text, pair, relation)
        for one, other in permutations(COLORS, 2):
            text = f"{with_article(f'{one} {first}')} and {with_article(f'{other} {second}')}"
            name = color_attribution_name((one, first), (other, second))
            pair_of_colors = (Requirement(first, one), Requirement(second, other))
            yield "color_attribution", name, Core(text, pair_of_colors)


@cache
def _all_combinations() -> dict[str, tuple[Combination, ...]]:
    cores: dict[str, dict[str, list[Core]]] = {category: {} for category in CATEGORIES}
    for category, name, core in _named_cores():
        cores[category].setdefault(name, []).append(core)
    result = {}
    for category, by_name in cores.items():
        held_out = _choose_held_out(category, by_name)
        result[category] = tuple(
            Combination(category, name, tuple(group), name in held_out)
            for name, group in by_name.items()
        )
    return result


def _choose_held_out(category: str, by_name: dict[str, list[Core]]) -> set[str]:
    """Take combinations in hashed order until there are enough.

    Of the positions, at most one is taken for each pair of shapes, so that every pair is still
    seen in most arrangements.
    """
    chosen: set[str] = set()
    used_pairs: set[frozenset[str]] = set()
    for name in sorted(by_name, key=split_key):
        pair = frozenset(requirement.shape for requirement in by_name[name][0].requirements)
        if len(chosen) == HELD_OUT_COUNTS[category]:
            break
        if category == "position" and pair in used_pairs:
            continue
        used_pairs.add(pair)
        chosen.add(name)
    return chosen


def combinations_of(category: str, *, held_out: bool = False) -> tuple[Combination, ...]:
    """The combinations of a category that training may show, or those that it may not."""
    return tuple(item for item in _all_combinations()[category] if item.held_out is held_out)


@cache
def _held_out_names() -> frozenset[str]:
    return frozenset(
        item.name for group in _all_combinations().values() for item in group if item.held_out
    )


def shows_held_out(scene: Scene) -> bool:
    """Whether a scene would show a combination that is held out from training.

    Every category is looked at, not only the one that a scene was made for: a red circle alone
    shows the color combination "red circle" whether or not its captions name the color. One
    exception: a held-out pair of shapes without further information (`two_object`) is held out as
    a combination of its own only; else all positions and colors of these two shapes would be too.
    """
    held_out = _held_out_names()
    objects = scene.objects
    if len(objects) == 1:
        return colors_name(objects[0].color, objects[0].shape) in held_out
    if len({item.shape for item in objects}) == 1:
        return counting_name(len(objects), objects[0].shape) in held_out
    if len(objects) != 2:
        return False
    first, second = objects
    attribution = color_attribution_name((first.color, first.shape), (second.color, second.shape))
    return attribution in held_out or not held_out.isdisjoint(_shown_positions(scene))


def _shown_positions(scene: Scene) -> frozenset[str]:
    """Names of the position combinations that a scene of two objects shows."""
    first, second = scene.objects
    names = set()
    if first.column != second.column:
        relation = "left of" if first.column < second.column else "right of"
        names.add(position_name(first.shape, relation, second.shape))
    if first.row != second.row:
        relation = "above" if first.row < second.row else "below"
        names.add(position_name(first.shape, relation, second.shape))
    return frozenset(names)
