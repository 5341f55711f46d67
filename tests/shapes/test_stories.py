from dataclasses import replace

import pytest
import torch

from showo_turbo.data.stories import load_pictures
from showo_turbo.errors import UserError
from showo_turbo.inference import ShowoPipeline
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.stories import ToldStory
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.shapes import ShapesChecker, story_scores
from showo_turbo.shapes.moves import DIRECTIONS, Change, parse_sentence, request_text
from showo_turbo.shapes.render import render
from showo_turbo.shapes.scene import COLORS, SHAPES, Scene, SceneObject
from showo_turbo.shapes.stories import (
    ShapesStories,
    sample_story,
    split_of,
    write_stories,
)
from showo_turbo.shapes.story_scores import judge_story, measure_stories

CIRCLE = SceneObject("circle", "red", 1, 0)
SQUARE = SceneObject("square", "blue", 1, 2)
SCENE = Scene((CIRCLE, SQUARE), "white")


@pytest.mark.parametrize(
    ("change", "sentence", "after"),
    [
        (
            Change("red", "circle", move="right"),
            "The red circle moves right.",
            Scene((replace(CIRCLE, column=1), SQUARE), "white"),
        ),
        (
            Change("blue", "square", turn="green"),
            "The blue square turns green.",
            Scene((CIRCLE, replace(SQUARE, color="green")), "white"),
        ),
        (Change("red", "circle", move="left"), "The red circle moves left.", None),
        (Change("blue", "circle", move="up"), "The blue circle moves up.", None),
    ],
)
def test_a_change_is_told_and_happens(change, sentence, after):
    """It does not where the object would leave the picture, or is not there."""
    assert change.sentence == sentence
    assert parse_sentence(sentence) == change
    assert change.apply(SCENE) == after


def test_no_object_moves_onto_another():
    moved = Change("red", "circle", move="right").apply(SCENE)
    assert Change("red", "circle", move="right").apply(moved) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The red circle moves.",
        "The pink circle moves up.",
        "the red circle moves up",
        "The red circle moves up. It turns blue.",
        "The red circle turns up.",
        "The red star moves up.",
    ],
)
def test_other_sentences_tell_nothing(text):
    assert parse_sentence(text) is None


def test_requests():
    right, turn = Change("red", "circle", move="right"), Change("red", "circle", turn="blue")
    assert request_text([right]) == "move the red circle right"
    assert (
        request_text([right, right, turn]) == "move the red circle right twice, then make it blue"
    )
    up = Change("blue", "circle", move="up")
    assert request_text([turn, up]) == "make the red circle blue, then move it up"


def test_stories_are_as_they_are_told():
    stories = [sample_story(index) for index in range(300)]
    assert {len(story.changes) for story in stories} == {1, 2, 3}
    assert {change.move for story in stories for change in story.changes} == {*DIRECTIONS, None}
    assert {item.shape for story in stories for item in story.before.objects} == {*SHAPES}
    assert {item.color for story in stories for item in story.before.objects} == {*COLORS}
    for story in stories:
        scenes = story.scenes
        assert len(story.texts) == len(scenes) == len(story.changes) + 1
        for change, before, after in zip(story.changes, scenes, scenes[1:], strict=False):
            assert parse_sentence(change.sentence) == change
            assert change.apply(before) == after != before
            assert len(set(before.objects) & set(after.objects)) == len(before.objects) - 1
    assert stories[:5] == [sample_story(index) for index in range(5)]
    assert stories[:5] != [sample_story(index, seed=1) for index in range(5)]


def test_scenes_are_held_out():
    stories = {
        name: [sample_story(index, split=name) for index in range(count)]
        for name, count in (("train", 2000), ("validation", 200), ("test", 200))
    }
    begun = {
        name: {(frozenset(story.before.objects), story.before.background) for story in told}
        for name, told in stories.items()
    }
    seen = {
        (frozenset(scene.objects), scene.background)
        for story in stories["train"]
        for scene in story.scenes
    }
    assert seen.isdisjoint(begun["test"] | begun["validation"])
    assert begun["test"].isdisjoint(begun["validation"])
    splits = [split_of(scene) for scene in map(_any_scene, range(2000))]
    assert all(0.03 < splits.count(name) / 2000 < 0.07 for name in ("validation", "test"))
    with pytest.raises(UserError, match="no split 'dev'"):
        sample_story(0, split="dev")


def _any_scene(index):
    row, column = divmod(index % 9, 3)
    item = SceneObject(SHAPES[index % 4], COLORS[index % 6], row, column)
    other = SceneObject(SHAPES[(index + 1) % 4], COLORS[(index // 7) % 6], (row + 1) % 3, column)
    return Scene((item, other), "black" if index % 2 else "white")


def test_written_stories_are_read(tmp_path):
    source = ShapesStories(tmp_path / "stories", count=6, split="validation")
    source.prepare()
    listing = {path: path.read_bytes() for path in (tmp_path / "stories").rglob("*.*")}
    source.prepare()
    assert {path: path.read_bytes() for path in (tmp_path / "stories").rglob("*.*")} == listing
    for index, story in enumerate(source.stories()):
        truth = sample_story(index, split="validation")
        assert list(story.texts) == truth.texts
        pixels = torch.stack(load_pictures(story.pictures, 24))
        expected = torch.stack([story_scores._pixels(scene) for scene in truth.scenes])
        torch.testing.assert_close(pixels, expected)
    with pytest.raises(UserError, match="holds other stories"):
        write_stories(tmp_path / "stories", stories=7)
    with pytest.raises(UserError, match="stories is 0"):
        write_stories(tmp_path / "none", stories=0)
    with pytest.raises(UserError, match="no split 'dev'"):
        write_stories(tmp_path / "none", stories=1, split="dev")
    assert not (tmp_path / "none").exists()


def told(story):
    return [change.sentence for change in story.changes], story.scenes[1:]


class TestJudging:
    story = next(s for s in map(sample_story, range(99)) if len(s.changes) == 3)

    def test_what_is_told_right(self):
        assert judge_story(self.story, told(self.story)) == ([True] * 3, [True] * 3)

    def test_a_keyframe_that_shows_something_else(self):
        """The step is wrong, and so is the next, which does not follow from what is shown."""
        texts, scenes = told(self.story)
        scenes[1] = replace(
            scenes[1], background="white" if scenes[1].background != "white" else "black"
        )
        assert judge_story(self.story, (texts, scenes)) == ([True, False, False], [True] * 3)
        scenes[1] = None
        assert judge_story(self.story, (texts, scenes))[0] == [True, False, False]

    def test_a_sentence_that_tells_something_else(self):
        texts, scenes = told(self.story)
        texts[1] = "The red circle sleeps."
        assert judge_story(self.story, (texts, scenes)) == (
            [True, False, True],
            [True, False, True],
        )

    def test_a_story_that_ends_early(self):
        texts, scenes = told(self.story)
        assert judge_story(self.story, (texts[:1], scenes[:1]))[0] == [True, False, False]


@pytest.mark.parametrize("forced", [False, True])
def test_a_score_counts_steps_and_stories(monkeypatch, forced):
    """By a model that tells everything right, but for one wrong step."""
    pipeline = ShowoPipeline.from_pretrained("shapes")
    stories = [sample_story(index, split="test") for index in range(6)]
    steps = sum(len(story.changes) for story in stories)
    encode = pipeline.text_tokenizer.encode
    begun = [(s, k) for s in stories for k in (range(len(s.changes)) if forced else (0,))]

    def tell(model, prompts, sampling, decoding, *, max_steps, seeds):
        results = []
        for prompt, (story, first) in zip(prompts, begun, strict=True):
            images = [
                torch.from_numpy(render(s)).permute(2, 0, 1) / 127.5 - 1 for s in story.scenes
            ]
            codes = pipeline.image_tokenizer.encode(torch.stack(images))
            texts = [encode(text) for text in story.texts]
            known = first + 1
            assert prompt == model.story_prompt(texts[:known], codes[:known].tolist())
            until = known + 1 if forced else None
            results.append(ToldStory(texts[known:until], list(codes[known:until]), True, 5, 7))
        results[0].texts[0] = encode("The red circle sleeps.")
        return results

    monkeypatch.setattr(story_scores, "tell_stories", tell)
    score = measure_stories(pipeline, stories, ImageSampling(), TextDecoding(), forced=forced)
    assert sum(score.steps) == sum(score.sentences) == steps - 1 and len(score.steps) == steps
    assert score.stories == (() if forced else (False, *[True] * 5))
    report = score.to_dict()
    right = report["right_steps"]
    assert right == round((steps - 1) / steps, 4) and report["right_steps_n"] == steps
    assert ("right_stories" in report) != forced
    low, high = report["right_steps_ci95"]
    assert low < right < high
    assert score.image_forwards == 7 * len(begun)


class TestCheckingWhatWasTold:
    """From words and pixels alone."""

    story = TestJudging.story
    keyframes = torch.stack([story_scores._pixels(scene) for scene in story.scenes])

    def judge(self, texts, told, keyframes):
        return ShapesChecker().judge_story(texts, keyframes[0], told, keyframes[1:])

    def test_right_and_wrong(self):
        texts = self.story.texts
        assert self.judge(texts, texts[1:], self.keyframes) == [True] * 3
        assert self.judge(texts, texts[1:2], self.keyframes[:2]) == [True, False, False]
        assert self.judge(texts, [], self.keyframes[:1]) == [False] * 3
        spoiled = [*texts[1:3], "The red circle sleeps."]
        assert self.judge(texts, spoiled, self.keyframes) == [True, True, False]
        still = self.keyframes[[0, 1, 1, 3]]
        assert self.judge(texts, texts[1:], still) == [True, False, False]

    def test_what_is_not_of_this_world(self):
        texts = self.story.texts
        assert self.judge([*texts[:3], "It sleeps."], texts[1:], self.keyframes) is None
        gray = torch.zeros_like(self.keyframes)
        assert self.judge(texts, texts[1:], gray) is None
        larger = self.keyframes.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
        assert self.judge(texts, texts[1:], larger) is None
