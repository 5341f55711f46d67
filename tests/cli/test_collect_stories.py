"""`showo-turbo collect` for stories, and a student that learns from what it collects."""

import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from showo_turbo.data.images import load_image
from showo_turbo.inference import ShowoPipeline
from showo_turbo.trajectories import ImageTrajectoryDataset, TextTrajectoryDataset

from ..clips import write_clip_model

TEXTS = ["a red circle", "it moves", "it stops"]
SETTINGS = [
    *("--images.sampling.sampling_steps", 4, "--images.sampling.guidance_scale", 1.0),
    *("--images.segments", 2, "--texts.decoding.max_new_tokens", 24, "--texts.max_repeats", 40),
]


@pytest.fixture
def stories(tmp_path):
    random = np.random.default_rng(0)
    segments = []
    for number, text in enumerate(TEXTS):
        pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        segments.append({"text": text, "image": f"{number}.png"})
    (tmp_path / "stories.json").write_text(json.dumps([{"id": "a", "segments": segments}]))
    return ["--stories.images", tmp_path, "--stories.annotations", tmp_path / "stories.json"]


def test_each_step_is_behind_the_true_ones(command, model, stories, tmp_path):
    out = tmp_path / "out"
    result = command("collect", out, *stories, *SETTINGS, "--model", model)
    assert result.status == 0, result.errors
    pipeline = ShowoPipeline.from_pretrained(model)
    network = pipeline.network
    pixels = [load_image(tmp_path / f"{number}.png", 16) for number in range(3)]
    codes = pipeline.image_tokenizer.encode(torch.stack(pixels)).tolist()
    texts = [pipeline.text_tokenizer.encode(text) for text in TEXTS]
    drawn = {record.key: record for record in ImageTrajectoryDataset(out / "images")}
    assert drawn.keys() == {"a/1", "a/2"}
    for step in (1, 2):
        record = drawn[f"a/{step}"]
        expected = network.story_prompt(texts[: step + 1], codes[:step])
        assert record.prompt_ids.tolist() == expected
        assert record.prompt == TEXTS[step]
    written = TextTrajectoryDataset(out / "texts")
    asked = {f"a/{step}": network.story_prompt(texts[:step], codes[:step]) for step in (1, 2, 3)}
    assert len(written) > 0, "the test says nothing without a text"
    for index in range(len(written)):
        record = written[index]
        assert record.prompt_ids.tolist() == asked[record.key]
        step = int(record.key.partition("/")[2])
        assert record.image.tolist() == codes[step - 1]


def test_a_student_learns_from_them(command, model, stories, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command("collect", "out", *stories, *SETTINGS, "--model", model).status == 0
    trainer = {"accelerator": "cpu", "default_root_dir": "run", "logger": False}
    stage = {"epochs": 1, "image_segments": 2, "text_segments": 2}
    curriculum = {"class_path": "Curriculum", "init_args": {"stages": [stage]}}
    config = {
        "model": {
            "class_path": "ShowoTurbo",
            "init_args": {
                "student": str(model),
                "image_tokenizer": str(model / "magvitv2"),
                "teacher_sampling": {"sampling_steps": 4, "guidance_scale": 1.0},
                "decoding": {"max_new_tokens": 24},
            },
        },
        "data": {
            "class_path": "DistillationDataModule",
            "init_args": {
                "resolution": 16,
                "batch_sizes": {"image": 2, "text": 1, "language": 0},
                "trajectories": {"images": "out/images", "texts": "out/texts"},
            },
        },
        "trainer": trainer | {"max_epochs": -1, "callbacks": [curriculum]},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    result = command("fit", "-c", "config.yaml")
    assert result.status == 0, result.errors


@pytest.mark.bad_input
class TestBadInput:
    def test_stories_and_captions(self, mistake, model, stories, tmp_path):
        more = ["--shapes.folder", tmp_path / "world"]
        message = mistake("collect", tmp_path / "out", *stories, *more, "--model", model)
        assert "both stories and captions" in message
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(("kind", "most"), [("images", 2), ("texts", 3)])
    def test_too_many(self, mistake, model, stories, tmp_path, kind, most):
        run = ["collect", tmp_path / "out", *stories, *SETTINGS, f"--num_{kind}", most + 1]
        message = mistake(*run, "--model", model)
        asked = f"{most + 1} trajectories asked for, but the stories have {most} steps"
        assert asked in message
        assert not (tmp_path / "out").exists(), "nothing of the other kind is collected, either"

    def test_a_model_of_clips(self, mistake, stories, tmp_path):
        clips = write_clip_model(tmp_path / "clips")
        message = mistake("collect", tmp_path / "out", *stories, *SETTINGS, "--model", clips)
        assert "generates clips, not stories" in message
        assert not (tmp_path / "out").exists()

    def test_a_picture_that_is_missing(self, mistake, model, stories, tmp_path):
        (tmp_path / "1.png").unlink()
        message = mistake("collect", tmp_path / "out", *stories, *SETTINGS, "--model", model)
        assert "1.png does not exist; expected an image" in message
        assert not (tmp_path / "out").exists()
