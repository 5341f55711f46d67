"""Commands with a model that reads continuous features of images."""

import json
import shutil

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from showo_turbo.data.images import load_image
from showo_turbo.inference import ShowoPipeline
from showo_turbo.models.vision_encoders import CLIPFeatures
from showo_turbo.trajectories import TextTrajectoryDataset, TrajectoryStore

from ..continuous import write_shapes_model, write_tiny_clip
from .experiment import small_experiment

QUESTION = "What is in the image?"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_shapes_model(tmp_path_factory.mktemp("features") / "model", "clip")


@pytest.fixture
def photos(tmp_path):
    """Of several sizes, two with an odd rest that is cropped."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, color in enumerate(["red", "green", "blue"]):
        image = Image.new("RGB", (24 + 3 * number, 24), color)
        image.paste("white", (0, 0, 8, 8))
        image.save(folder / f"{color}.png")
    return folder


def test_answers_are_those_of_the_pipeline(command, model, photos, tmp_path):
    run = ["answer", photos, "--question", QUESTION, "--model", model, "--max_new_tokens", 8]
    for _ in range(2):  # the second time there is nothing left to do
        result = command(*run, "--output", tmp_path / "out")
        assert result.status == 0, result.errors
    notes = [json.loads(line) for line in (tmp_path / "out/answers.jsonl").read_text().splitlines()]
    pipeline = ShowoPipeline.from_pretrained(model)
    expected = pipeline.answer(sorted(photos.iterdir()), QUESTION, max_new_tokens=8)
    assert {note["image"]: note["answer"] for note in notes} == dict(
        zip(map(str, sorted(photos.iterdir())), expected.texts, strict=True)
    )


def test_another_vision_encoder_is_another_model(command, mistake, model, photos, tmp_path):
    write_tiny_clip(tmp_path / "other", seed=5, image_size=24, patch_size=6)
    run = ["answer", photos, "--question", QUESTION, "--model", model, "--max_new_tokens", 8]
    run += ["--output", tmp_path / "out"]
    assert command(*run).status == 0
    message = mistake(*run, "--vision_encoder", tmp_path / "other")
    assert "image_encoder" in message


def test_features_are_collected(command, model, photos, tmp_path):
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "That."}]
    names = sorted(path.name for path in photos.iterdir())
    asked = [{"id": name, "image": name, "conversations": turns} for name in names]
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    run = ["collect", tmp_path / "stores", "--model", model, "--texts.max_repeats", 96]
    run += ["--instructions.images", photos, "--instructions.annotations", tmp_path / "asked.json"]
    result = command(*run)
    assert result.status == 0, result.errors
    store = TrajectoryStore.open(tmp_path / "stores/texts", kind="texts")
    dataset = TextTrajectoryDataset(store)
    encoder = CLIPFeatures.from_pretrained(model / "clip")
    expected = [
        encoder.encode(load_image(photos / name, 24, crop="floor")[None])[0].half()
        for name in names
    ]
    assert len(dataset) > 0
    for index in range(len(dataset)):
        image = dataset[index].image
        distances = [(image - other).abs().max() for other in expected]
        assert min(distances) < 1e-3 and image.dtype == torch.float16


def test_validation_answers_in_all_ways(command, model, world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = small_experiment(model, world)
    plan = {"sampling_steps": [1], "guidance_scales": [0.0], "tables": ["text"]}
    experiment["model"]["init_args"]["evaluation"] |= plan
    experiment["trainer"]["callbacks"] = [{"class_path": "EvaluationTable"}]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(experiment))
    result = command("validate", "-c", "config.yaml")
    assert result.status == 0, result.errors
    found = json.loads((tmp_path / "runs/base/evaluation/validate.json").read_text())
    ways = {row["driver"]: (row["n"], row["exact_match"]) for row in found["text"]}
    assert ways.keys() == {None, "block", "window"}
    assert ways[None] == ways["block"] == ways["window"] and ways[None][0] > 8
    assert found["text"][0]["tokens_per_forward"] == 1


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"hidden_size": 12}, "features have width 12, those of the model's images 8; name the"),
        ({"image_size": 30}, "features have number 25, those of the model's images 16; name the"),
    ],
)
def test_a_vision_encoder_of_the_wrong_size(mistake, model, photos, tmp_path, sizes, message):
    shutil.copytree(model, tmp_path / "model")
    write_tiny_clip(tmp_path / "clip", **{"image_size": 24, "patch_size": 6} | sizes)
    run = ["answer", photos, "--question", QUESTION, "--model", tmp_path / "model"]
    run += ["--vision_encoder", tmp_path / "clip", "--output", tmp_path / "out"]
    assert message in mistake(*run)
    assert not (tmp_path / "out").exists()


@pytest.mark.bad_input
def test_weights_without_their_projector(mistake, model, photos, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    weights = tmp_path / "model/pytorch_model.safetensors"
    state = {k: v for k, v in load_file(weights).items() if not k.startswith("mm_projector")}
    save_file(state, weights, metadata={"format": "pt"})
    run = ["answer", photos, "--question", QUESTION, "--model", tmp_path / "model"]
    message = mistake(*run, "--output", tmp_path / "out")
    assert "(w_clip_vit), but its weights have no projector" in message
    assert not (tmp_path / "out").exists()
