"""Figures of clips and stories, from models whose output is known, and the page that shows them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from showo_turbo.data.clips import read_frames
from showo_turbo.data.stories import StoryFiles
from showo_turbo.errors import UserError
from showo_turbo.evaluation import EvaluationData, EvaluationPlan, Report, draw_images
from showo_turbo.evaluation.images import prompt_seed
from showo_turbo.inference import ShowoPipeline
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.stories import ToldStory, tell_stories
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.shapes import ShapesChecker
from showo_turbo.shapes.stories import ShapesStories, sample_story
from showo_turbo.shapes.story_scores import _pixels
from showo_turbo.trajectories import Checker
from showo_turbo.utils.images import to_bytes
from showo_turbo.viz import story_pictures
from showo_turbo.viz.clip_pictures import draw_clip_strips
from showo_turbo.viz.page import read_run, render_page
from showo_turbo.viz.pictures import FAILED, FRAME_PIXELS, GAP_PIXELS, SATISFIED, GridColumn
from showo_turbo.viz.report_pictures import draw_report_pictures
from showo_turbo.viz.story_pictures import (
    AskedStory,
    StoryPictures,
    asked_stories,
    check_stories,
)

from ..clips import clip_networks
from ..evaluation.worlds import metadata, shapes_bundle

SAMPLING = ImageSampling(2)
DECODING = TextDecoding(max_new_tokens=8)
PROMPTS = [{"prompt": "a red circle", "tag": "one"}, {"prompt": "two <squares>", "tag": "two"}]
STORY = next(s for s in (sample_story(i, split="test") for i in range(99)) if len(s.changes) == 3)


def asked(story=STORY):
    return AskedStory(tuple(story.texts), _pixels(story.before))


def marks(path):
    found = json.loads(path.read_text())
    return {row["name"]: [step["right"] for step in row["steps"]] for row in found["rows"]}


def colors(path):
    """Which of the colors of frames an image has."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return {color for color in (SATISFIED, FAILED) if (pixels == color).all(axis=-1).any()}


def page(folder):
    Report().write(folder)
    return render_page([read_run(folder, "own")])


class Listed(Checker):
    """Judges clips as it is told, one verdict a prompt and call."""

    def __init__(self, *verdicts):
        self.verdicts = list(verdicts)

    def can_judge(self, prompt):
        return True

    def judge(self, pixels, prompts):
        return self.verdicts.pop(0)


def clip_report(folder, plan):
    """Draw the figures of two models of clips."""
    models = {
        name: lambda seed=seed: LoadedModel(*clip_networks(seed))
        for seed, name in enumerate(("teacher", "student"))
    }
    data = EvaluationData(prompts={"test": PROMPTS})
    return models, draw_report_pictures(models, data, plan, Report(), folder)


def test_clips_of_a_report_are_those_of_the_grid(tmp_path):
    # Of the teacher in 3, 2 and 1 steps, and of the student in 2 and 1.
    checker = Listed([True, False], [False, False], [True, True], [False, True], [True, True])
    plan = EvaluationPlan(sampling_steps=(3, 2, 1), guidance_scales=(0.0,), checker=checker)
    models, files = clip_report(tmp_path, plan)
    clips = tmp_path / "film_strips" / "clips"
    ways = [("teacher", 3), ("student", 2), ("student", 1)]
    names = [f"{name}, {steps} steps, no guidance" for name, steps in ways]
    assert marks(clips / "clip-1.json") == dict(zip(names, [[True], [False], [True]], strict=True))
    assert marks(clips / "clip-2.json") == dict(zip(names, [[False], [True], [True]], strict=True))
    assert {clips / f"clip-{n}.{kind}" for n in (1, 2) for kind in ("png", "webp")} <= set(files)
    assert colors(clips / "clip-1.png") == colors(clips / "clip-1.webp") == {SATISFIED, FAILED}
    expected = [
        draw_images(models[name](), ["two <squares>"], ImageSampling(steps), [prompt_seed(0, 1)])[0]
        for name, steps in ways
    ]
    frame = np.asarray(read_frames(clips / "clip-2.webp", wanted=9)[5])
    border, scale = GAP_PIXELS // 2 + FRAME_PIXELS, 6
    for place, clip in enumerate(expected):
        left = place * (frame.shape[1] // 3) + border
        shown = frame[border : border + 16 * scale : scale, left : left + 16 * scale : scale]
        # All but the lower right corner, where the sign is.
        expected_frame = to_bytes(clip[:, 5][None])[0, :12, :12]
        np.testing.assert_allclose(shown[:12, :12].astype(int), expected_frame.astype(int), atol=1)


def test_clips_without_a_checker_are_unmarked(tmp_path):
    plan = EvaluationPlan(sampling_steps=(1,), guidance_scales=(0.0,))
    clip_report(tmp_path, plan)
    clips = tmp_path / "film_strips" / "clips"
    assert set(map(tuple, marks(clips / "clip-1.json").values())) == {(None,)}
    assert colors(clips / "clip-1.png") == colors(clips / "clip-1.webp") == set()


def test_the_page_shows_clips(tmp_path):
    pixels = torch.linspace(-1, 1, 9)[:, None, None].expand(2, 3, 9, 24, 24)
    columns = [
        GridColumn("teacher\n16 steps", pixels, [True, True]),
        GridColumn("student\n4 steps", pixels, [False, True]),
    ]
    written = draw_clip_strips(
        ["a <b> circle for $5$"], columns, tmp_path / "film_strips" / "clips"
    )
    with Image.open(written[0]) as image:
        assert image.width > 9 * 96, "nine frames side by side"
    html = page(tmp_path)
    assert "The same clips by teacher and student" in html and "a &lt;b&gt; circle" in html
    assert 'alt="teacher, 16 steps: (right); student, 4 steps: (wrong)"' in html
    assert html.count("data:image/png") == html.count("data:image/webp") == 1


@pytest.fixture(scope="module")
def pipeline():
    return ShowoPipeline.from_pretrained("shapes")


def telling(monkeypatch, pipeline, steps):
    """Let models tell the first so many steps of `STORY`, and what they should not after it."""
    pixels = torch.stack([_pixels(scene) for scene in STORY.scenes[1:]])
    codes = list(pipeline.image_tokenizer.encode(pixels))
    texts = [pipeline.text_tokenizer.encode(change.sentence) for change in STORY.changes]
    told = ToldStory((texts * 2)[:steps], (codes * 2)[:steps], steps <= 3)
    monkeypatch.setattr(story_pictures, "tell_stories", lambda *_, **__: [told])


@pytest.mark.parametrize("judged", [True, False])
def test_marks_follow_the_checker(tmp_path, monkeypatch, pipeline, judged):
    plan = EvaluationPlan(checker=ShapesChecker() if judged else None)
    pictures = StoryPictures([asked()], plan)
    for name, steps in (("teacher", 3), ("student", 1), ("longer", 6)):
        telling(monkeypatch, pipeline, steps)
        pictures.add(name, pipeline, [SAMPLING])
    folder = tmp_path / "film_strips" / "stories"
    (path,) = pictures.write(folder)
    found = list(marks(path.with_suffix(".json")).values())
    if judged:
        assert found == [[True] * 3, [True, False, False], [True, True, True, False]]
        assert colors(path) == {SATISFIED, FAILED}
    else:
        assert found == [[None] * 3, [None], [None] * 4]
        assert colors(path) == set()
    with Image.open(path) as image:
        assert image.width > 5 * 96 and image.height > 3 * 96
    html = page(tmp_path)
    mark = "right" if judged else "not judged"
    sentences = " ".join(f"{change.sentence} ({mark})" for change in STORY.changes)
    assert f"teacher, 2 steps, no guidance: {sentences};" in html
    assert "student, 2 steps, no guidance: The " in html
    assert ("(not told) (wrong)" in html) == judged
    assert f"<figcaption>{STORY.request}</figcaption>" in html
    assert html.count("data:image/png") == 1 and "image/webp" not in html


def test_a_wrong_keyframe_is_marked(tmp_path, monkeypatch, pipeline):
    telling(monkeypatch, pipeline, 3)
    other = replace(STORY, before=STORY.scenes[1])  # what is told does not follow from it
    pictures = StoryPictures([asked(other)], EvaluationPlan(checker=ShapesChecker()))
    pictures.add("student", pipeline, [SAMPLING])
    (path,) = pictures.write(tmp_path)
    ((first, *_),) = marks(path.with_suffix(".json")).values()
    assert first is False and FAILED in colors(path)


def test_what_is_shown_is_what_models_tell(tmp_path):
    """Of random networks, each story with a seed of its own."""
    stories = [asked(sample_story(index, split="test")) for index in range(3)]
    for seed in range(40):  # most say nothing, or do not end
        bundle = shapes_bundle(seed)
        plan = EvaluationPlan(decoding=DECODING)
        pictures = StoryPictures(stories, plan)
        pictures.add("student", bundle, [SAMPLING])
        pictures.write(tmp_path)
        files = [json.loads((tmp_path / f"story-{n}.json").read_text()) for n in (1, 2, 3)]
        texts = [[step["text"] for step in found["rows"][0]["steps"]] for found in files]
        if any(texts):
            break
    assert any(texts), "the test is to see some"
    assert [found["asked"] for found in files] == [story.texts[0] for story in stories]
    codes = bundle.image_tokenizer.encode(torch.stack([story.pixels for story in stories]))
    encode = bundle.text_tokenizer.encode
    for index, row in enumerate(codes.tolist()):
        prompt = bundle.network.story_prompt([encode(stories[index].texts[0])], [row])
        seed = story_pictures.stateless_seed(0, index, stream="stories")
        steps = max(len(story.texts) for story in stories)
        (told,) = tell_stories(
            bundle.network, [prompt], SAMPLING, DECODING, max_steps=steps, seeds=[seed]
        )
        decoded = [bundle.text_tokenizer.decode(text).strip() for text in told.texts]
        assert texts[index] == decoded[: len(stories[index].texts)]


def test_the_settings_of_a_report(tmp_path, monkeypatch, pipeline):
    """The teacher in its most steps with its own guidance, the student in those of its grid."""
    telling(monkeypatch, pipeline, 2)
    plan = EvaluationPlan(
        sampling_steps=(4, 2, 1),
        teacher_samplings=(ImageSampling(guidance_scale=1.5),),
        checker=ShapesChecker(),
    )
    models = dict.fromkeys(("teacher", "student"), lambda: pipeline)
    files = draw_report_pictures(
        models, EvaluationData(), plan, Report(), tmp_path, stories=[asked()]
    )
    assert files == [tmp_path / "film_strips" / "stories" / "story-1.png"]
    assert marks(files[0].with_suffix(".json")) == {
        "teacher, 4 steps, guidance 1.5": [True, True, False],
        "student, 2 steps, no guidance": [True, True, False],
        "student, 1 steps, no guidance": [True, True, False],
    }


def test_models_that_do_neither_have_nothing_new(tmp_path):
    models = {"teacher": shapes_bundle, "student": lambda: shapes_bundle(1)}
    plan = EvaluationPlan(sampling_steps=(2, 1), guidance_scales=(0.0,), checker=ShapesChecker())
    data = EvaluationData(prompts={"test": metadata(1)})
    files = draw_report_pictures(models, data, plan, Report(), tmp_path)
    kept = {f"film_strips/{model}-image-{n}.png" for model in models for n in (1, 2)}
    assert {str(f.relative_to(tmp_path)) for f in files} == {"grid.png", *kept}
    html = page(tmp_path)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {
        ".png",
        ".json",
        ".csv",
    }
    assert "stories" not in html and "clips" not in html


def test_the_first_stories_of_a_source(tmp_path):
    source = ShapesStories(tmp_path, count=3, split="test")
    source.prepare()
    found = asked_stories(source, 2, 24)
    assert [story.texts for story in found] == [
        tuple(sample_story(index, split="test").texts) for index in range(2)
    ]
    torch.testing.assert_close(found[1].pixels, _pixels(sample_story(1, split="test").before))


@pytest.mark.bad_input
def test_bad_input(tmp_path):
    bundle = shapes_bundle()
    long = TextDecoding(max_new_tokens=500)
    with pytest.raises(UserError, match="a step of a story may take 540 tokens"):
        check_stories(bundle.network, bundle.text_tokenizer, [asked()], long)
    clips, _, tokenizer = clip_networks()
    with pytest.raises(UserError, match="the model generates clips, not stories"):
        check_stories(clips, tokenizer, [asked()], DECODING)
    with pytest.raises(UserError, match=r"stories\.json does not exist"):
        asked_stories(StoryFiles(tmp_path, tmp_path / "stories.json"), 2, 24)
