import subprocess
import sys
from collections import Counter

import pytest

from showo_turbo.errors import UserError
from showo_turbo.shapes.combinations import (
    HELD_OUT_COUNTS,
    combinations_of,
    position_name,
    shows_held_out,
)
from showo_turbo.shapes.prompts import CATEGORIES, Prompt, satisfies
from showo_turbo.shapes.sampling import sample_example
from showo_turbo.shapes.splits import SPLITS, held_out_prompts, reserved_texts, wordings

SIZES = {
    "single_object": 4,
    "two_object": 6,
    "counting": 12,
    "colors": 24,
    "position": 24,
    "color_attribution": 180,
}


@pytest.mark.parametrize("category", CATEGORIES)
def test_combinations_are_complete_and_some_held_out(category: str) -> None:
    seen, unseen = combinations_of(category), combinations_of(category, held_out=True)
    assert len(seen) + len(unseen) == SIZES[category]
    assert len(unseen) == HELD_OUT_COUNTS[category]
    names = [item.name for item in (*seen, *unseen)]
    assert len(set(names)) == len(names)


def test_every_wording_belongs_to_one_combination() -> None:
    texts = [
        prompt.text
        for category in CATEGORIES
        for held_out in (False, True)
        for combination in combinations_of(category, held_out=held_out)
        for prompt in wordings(combination)
    ]
    assert len(set(texts)) == len(texts)
    assert not [text for text in texts if "a orange" in text or "  " in text]


def test_both_tellings_of_a_position_are_one_combination() -> None:
    assert position_name("circle", "left of", "square") == position_name(
        "square", "right of", "circle"
    )
    assert position_name("cross", "below", "square") == position_name("square", "above", "cross")
    for held_out in (False, True):
        for combination in combinations_of("position", held_out=held_out):
            assert len(combination.cores) == 2


@pytest.mark.parametrize(("split", "size"), [("validation", 50), ("test", 167)])
def test_splits_are_balanced_over_categories_and_combinations(split: str, size: int) -> None:
    prompts = held_out_prompts(split, size)
    assert Counter(prompt.category for prompt in prompts) == dict.fromkeys(CATEGORIES, size)
    assert len({prompt.text for prompt in prompts}) == 6 * size
    asked = Counter(
        combination.name
        for combination in combinations_of("counting")
        for prompt in wordings(combination)
        if prompt in prompts
    )
    assert max(asked.values()) - min(asked.values()) <= 1


def test_splits_share_no_text_and_smaller_ones_begin_larger_ones() -> None:
    texts = [prompt.text for split in SPLITS for prompt in held_out_prompts(split)]
    assert len(set(texts)) == len(texts)
    assert reserved_texts() >= set(texts)
    few, many = held_out_prompts("test", 10), held_out_prompts("test", 60)
    assert [p for c in CATEGORIES for p in [q for q in many if q.category == c][:10]] == few


def test_unseen_combinations_have_every_category_but_single_objects() -> None:
    prompts = held_out_prompts("unseen_combination", 40)
    assert Counter(prompt.category for prompt in prompts) == dict.fromkeys(CATEGORIES[1:], 40)


def test_training_shows_no_held_out_text_and_no_held_out_combination() -> None:
    unseen: dict[str, list[Prompt]] = {
        category: [
            wordings(combination)[0] for combination in combinations_of(category, held_out=True)
        ]
        for category in CATEGORIES
    }
    # A held-out pair of shapes still occurs with positions and with colors.
    in_any_scene = [p for category in unseen if category != "two_object" for p in unseen[category]]
    for index in range(3000):
        example = sample_example(index, seed=3)
        assert reserved_texts().isdisjoint(example.captions)
        assert not shows_held_out(example.scene)
        assert not [prompt.text for prompt in in_any_scene if satisfies(example.scene, prompt)]
        if example.prompts[0].category == "two_object":
            assert not [p.text for p in unseen["two_object"] if satisfies(example.scene, p)]


def test_splits_are_the_same_in_every_process() -> None:
    program = (
        "from showo_turbo.shapes.splits import held_out_prompts;"
        "print([p.text for p in held_out_prompts('test')][:50])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert outputs == {f"{[p.text for p in held_out_prompts('test')][:50]}\n".encode()}


@pytest.mark.parametrize(
    ("split", "per_category", "message"),
    [
        ("train", None, "split 'train'"),
        ("test", 168, "per_category is 168"),
        ("validation", 0, "per_category is 0"),
    ],
)
def test_wrong_requests_are_refused(split: str, per_category: int | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        held_out_prompts(split, per_category)
