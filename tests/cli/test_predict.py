"""`showo-turbo predict`: pictures and answers as files."""

import json

import pytest
import yaml
from PIL import Image

from showo_turbo.inference import ShowoPipeline

from .experiment import small_experiment


@pytest.fixture
def config(tmp_path, random_shapes_model, world, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = small_experiment(random_shapes_model, world)
    experiment["trainer"]["callbacks"] = [{"class_path": "PredictionWriter"}]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(experiment))
    return "config.yaml"


def test_pictures_and_answers(command, config, tmp_path, random_shapes_model, world):
    result = command("predict", "-c", config)
    assert result.status == 0, result.errors
    folder = tmp_path / "runs/base/predictions"
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    drawn = [line for line in lines if "prompt" in line]
    asked = [line for line in lines if "question" in line]
    assert {line["split"] for line in drawn} == {"test", "unseen_combination"}
    assert [line["index"] for line in asked] == list(range(len(asked)))

    # The pipeline, which is another way to the same samplers, makes the same.
    pipeline = ShowoPipeline.from_pretrained(random_shapes_model)
    images = pipeline.generate([line["prompt"] for line in drawn], sampling_steps=1).images
    for line, expected in zip(drawn, images, strict=True):
        with Image.open(folder / line["file"]) as image:
            assert image.tobytes() == expected.tobytes()
    records = json.loads((world / "llava_val.json").read_text())
    spoken = [turn["value"] for record in records for turn in record["conversations"]]
    assert [line["reference"] for line in asked] == spoken[1::2]
    names = sorted(path.name for path in folder.glob("*.png"))
    assert names == sorted(line["file"] for line in drawn)
    with Image.open(world / records[0]["image"]) as first:
        answer = pipeline.answer(first, asked[0]["question"], max_new_tokens=4).texts[0]
    assert asked[0]["answer"] == answer
