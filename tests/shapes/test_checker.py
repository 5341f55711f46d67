from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showo_turbo.shapes.checker import MIN_OVERLAP, check, check_images, read_image, read_images
from showo_turbo.shapes.prompts import RELATIONS, Prompt, Requirement, satisfies
from showo_turbo.shapes.render import SHAPE_MASKS, render
from showo_turbo.shapes.scene import (
    BACKGROUNDS,
    CELLS,
    COLOR_VALUES,
    COLORS,
    SHAPES,
    Scene,
    SceneObject,
)

from ..support.scenes import sample_scene

SCENES = 3000


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    cells = draw(st.lists(st.sampled_from(CELLS), max_size=9, unique=True))
    objects = [
        SceneObject(draw(st.sampled_from(SHAPES)), draw(st.sampled_from(COLORS)), row, column)
        for row, column in cells
    ]
    return Scene(tuple(objects), draw(st.sampled_from(BACKGROUNDS)))


@given(scenes(), st.integers(0, 2**32 - 1))
@settings(max_examples=200, deadline=None)
def test_a_noisy_render_is_read_back_exactly(scene: Scene, seed: int) -> None:
    pixels = render(scene)
    assert read_image(pixels) == scene
    assert read_image(add_noise(pixels, np.random.default_rng(seed), 25)) == scene


def add_noise(pixels: np.ndarray, rng: np.random.Generator, amount: int) -> np.ndarray:
    noisy = pixels.astype(np.int64) + rng.integers(-amount, amount + 1, pixels.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def near_misses(prompt: Prompt, number: int) -> Prompt:
    """The prompt with one word of its meaning changed."""
    first, *rest = prompt.requirements

    def following(names: tuple[str, ...], name: str) -> str:
        return names[(names.index(name) + 1 + number % (len(names) - 1)) % len(names)]

    changes = [
        replace(prompt, requirements=(replace(first, count=first.count + 1), *rest)),
        replace(prompt, requirements=(replace(first, shape=following(SHAPES, first.shape)), *rest)),
        replace(prompt, requirements=(*prompt.requirements, Requirement("circle", "red"))),
    ]
    if first.color is not None:
        color = following(COLORS, first.color)
        changes.append(replace(prompt, requirements=(replace(first, color=color), *rest)))
    if prompt.relation is not None:
        changes.append(replace(prompt, relation=following(RELATIONS, prompt.relation)))
    if prompt.background is not None:
        changes.append(replace(prompt, background=following(BACKGROUNDS, prompt.background)))
    return changes[number % len(changes)]


@pytest.fixture(scope="module")
def samples() -> list[tuple[Scene, Prompt]]:
    return [sample_scene(index, seed=7) for index in range(SCENES)]


@pytest.mark.parametrize("noise", [0, 25])
def test_accuracy_on_true_and_mismatched_renders(
    samples: list[tuple[Scene, Prompt]], noise: int
) -> None:
    rng = np.random.default_rng(noise)
    pixels = add_noise(np.stack([render(scene) for scene, _ in samples]), rng, noise)
    own = [prompt for _, prompt in samples]
    shuffled = [own[index] for index in rng.permutation(SCENES)]
    changed = [near_misses(prompt, number) for number, prompt in enumerate(own)]

    assert np.mean([result.satisfied for result in check_images(pixels, own)]) >= 0.995
    for prompts in (shuffled, changed):
        truth = [satisfies(scene, p) for (scene, _), p in zip(samples, prompts, strict=True)]
        said = [result.satisfied for result in check_images(pixels, prompts)]
        assert 0 < np.mean(truth) < 0.5  # neither answer alone passes this test
        assert np.mean(np.equal(said, truth)) >= 0.995


def test_shapes_are_clearly_different() -> None:
    size = 18
    for one in SHAPES:
        canvas = np.pad(SHAPE_MASKS[one], 6)
        for other in SHAPES:
            best = 0.0
            for top in range(size - 5):
                for left in range(size - 5):
                    moved = np.zeros_like(canvas)
                    moved[top : top + 6, left : left + 6] = SHAPE_MASKS[other]
                    best = max(best, (canvas & moved).sum() / (canvas | moved).sum())
            assert (best == 1) if one == other else (best < MIN_OVERLAP - 0.05)


RED_CIRCLE = Prompt("a red circle", "colors", (Requirement("circle", "red"),))


def red_circle() -> np.ndarray:
    return render(Scene((SceneObject("circle", "red", 1, 1),), "white"))


def test_an_object_may_miss_pixels_and_specks_are_forgiven() -> None:
    pixels = red_circle()
    pixels[9, 11] = 255
    pixels[16, 11] = (225, 25, 30)
    pixels[2, 2] = (0, 0, 0)
    assert check(pixels, RED_CIRCLE).satisfied


@pytest.mark.parametrize(
    ("region", "color", "reason"),
    [
        ((slice(0, 3), slice(0, 3)), (225, 25, 30), "not a known shape"),
        ((slice(1, 7), slice(1, 7)), (0, 0, 0), "a black object"),
        ((slice(8, 12), slice(8, 16)), (20, 70, 230), "several colors"),
        ((slice(12, 24), slice(0, 24)), (0, 160, 60), ""),
        ((slice(0, 1), slice(0, 24, 2)), (0, 0, 0), "stray pixels"),
        ((slice(0, 24), slice(0, 24)), (128, 128, 0), "no background"),
    ],
)
def test_unreadable_images_satisfy_nothing_and_say_why(
    region: tuple[slice, slice], color: tuple[int, int, int], reason: str
) -> None:
    pixels = red_circle()
    pixels[region] = color
    result = check(pixels, RED_CIRCLE)
    assert not result.satisfied
    assert result.scene is None
    assert result.reason
    assert reason in result.reason


def test_two_objects_in_one_cell_are_refused() -> None:
    pixels = np.full((24, 24, 3), 255, dtype=np.uint8)
    pixels[5:11, 9:15] = (225, 25, 30)  # the centers of both lie in rows 8 to 15
    pixels[12:18, 9:15] = (225, 25, 30)
    assert read_images(pixels[None])[0].reason == "two objects in one cell"


def test_an_empty_image_is_a_scene_without_objects() -> None:
    pixels = np.zeros((24, 24, 3), dtype=np.uint8)
    assert read_image(pixels) == Scene((), "black")
    result = check(pixels, RED_CIRCLE)
    assert not result.satisfied
    assert result.reason == "expected 1 red circle, found 0"


def test_pixels_of_random_noise_are_never_a_scene() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 24, 24, 3)).astype(np.uint8)
    assert all(reading.scene is None and reading.reason for reading in read_images(pixels))


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="expected uint8 of shape"):
        read_images(np.zeros((1, 24, 24, 3), dtype=np.float32))
    with pytest.raises(ValueError, match="expected uint8 of shape"):
        read_image(np.zeros((32, 32, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="2 prompts for 1 images"):
        check_images(red_circle()[None], [RED_CIRCLE, RED_CIRCLE])
    assert read_images(np.zeros((0, 24, 24, 3), dtype=np.uint8)) == []


def test_a_shape_with_one_quarter_of_another_color_is_none():
    scene = Scene((SceneObject("square", "yellow", 0, 0),), "white")
    pixels = render(scene).copy()
    assert read_image(pixels) == scene
    pixels[1:4, 1:4] = COLOR_VALUES["green"]
    assert read_image(pixels) is None
