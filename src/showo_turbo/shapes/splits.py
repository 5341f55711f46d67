"""Wordings of every combination, and which exact texts are kept away from training."""

from functools import cache
from itertools import zip_longest

from ..errors import UserError
from .combinations import Combination, combinations_of, split_key
from .prompts import CATEGORIES, Prompt
from .scene import BACKGROUNDS

PREFIXES = (
    "",
    "a photo of",
    "a picture of",
    "an image of",
    "a drawing of",
    "a painting of",
    "an illustration of",
    "a sketch of",
    "a rendering of",
    "a view of",
    "a figure of",
    "a graphic of",
    "a depiction of",
    "a print of",
    "a snapshot of",
    "a diagram of",
)

RESERVED_PER_CATEGORY = {"test": 167, "validation": 50}
"""Wordings of seen combinations that training never shows, for each category."""

UNSEEN_COMBINATION = "unseen_combination"

SPLITS = ("validation", "test", UNSEEN_COMBINATION)


@cache
def wordings(combination: Combination) -> tuple[Prompt, ...]:
    """All prompts of a combination: prefix x core x background, in a fixed order."""
    prompts = []
    for prefix in PREFIXES:
        for core in combination.cores:
            for background in (None, *BACKGROUNDS):
                suffix = f"on a {background} background" if background else ""
                prompts.append(
                    Prompt(
                        text=" ".join(part for part in (prefix, core.text, suffix) if part),
                        category=combination.category,
                        requirements=core.requirements,
                        relation=core.relation,
                        background=background,
                    )
                )
    return tuple(prompts)


@cache
def all_wordings() -> dict[str, Prompt]:
    """Every prompt of the world by its text."""
    return {
        prompt.text: prompt
        for category in CATEGORIES
        for held_out in (False, True)
        for combination in combinations_of(category, held_out=held_out)
        for prompt in wordings(combination)
    }


def _balanced(combinations: tuple[Combination, ...]) -> list[Prompt]:
    """All wordings in hashed order, taking the combinations in turn."""
    by_hash = sorted(combinations, key=lambda item: split_key(f"order/{item.name}"))
    columns = [
        sorted(wordings(item), key=lambda prompt: split_key(f"wording/{prompt.text}"))
        for item in by_hash
    ]
    turns = zip_longest(*columns)
    return [prompt for turn in turns for prompt in turn if prompt is not None]


@cache
def _reserved(category: str, split: str) -> tuple[Prompt, ...]:
    if split == UNSEEN_COMBINATION:
        return tuple(_balanced(combinations_of(category, held_out=True)))
    pool = _balanced(combinations_of(category))
    start = 0
    for name, size in RESERVED_PER_CATEGORY.items():
        if name == split:
            return tuple(pool[start : start + size])
        start += size
    raise UserError(f"split {split!r}; expected one of {', '.join(SPLITS)}")


def held_out_prompts(split: str, per_category: int | None = None) -> list[Prompt]:
    """Prompts that no training caption repeats, equally many of each category.

    Args:
        split: "test" and "validation" are unseen wordings of seen combinations,
            "unseen_combination" asks for combinations that no training image shows (it has no
            single objects: all of those are seen).
        per_category: How many of each category; as many as all categories have by default.

    Returns:
        Distinct prompts, category by category; a smaller number takes the first of each category
        that a larger number takes.

    Raises:
        UserError: For an unknown split or more prompts than it has.
    """
    pools = [_reserved(category, split) for category in CATEGORIES]
    pools = [pool for pool in pools if pool]
    available = min(len(pool) for pool in pools)
    if per_category is None:
        per_category = available
    if not 1 <= per_category <= available:
        raise UserError(
            f"per_category is {per_category}; expected 1 to {available}, the prompts per category "
            f"of the split {split!r}, correct it"
        )
    return [prompt for pool in pools for prompt in pool[:per_category]]


@cache
def reserved_texts() -> frozenset[str]:
    """Every text that is not a training caption."""
    return frozenset(
        prompt.text
        for category in CATEGORIES
        for split in SPLITS
        for prompt in _reserved(category, split)
    )


@cache
def training_wordings(combination: Combination, background: str) -> tuple[Prompt, ...]:
    """Wordings of a seen combination that training may use for a scene on this background."""
    return tuple(
        prompt
        for prompt in wordings(combination)
        if prompt.background in (None, background) and prompt.text not in reserved_texts()
    )
