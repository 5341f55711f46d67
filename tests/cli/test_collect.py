import json

import pytest
from PIL import Image

from showo_turbo.data.images import load_image
from showo_turbo.inference import ShowoPipeline
from showo_turbo.trajectories import (
    ImageTrajectoryDataset,
    TextTrajectoryDataset,
    TrajectoryStore,
    collect_images,
    fingerprint_module,
)

SETTINGS = [
    *(
        "--images.sampling.sampling_steps",
        4,
        "--images.segments",
        2,
        "--images.sampling.guidance_scale",
        0.5,
    ),
    *("--images.shard_size", 2, "--images.topk_targets", 3),
    *(
        "--texts.decoding.max_new_tokens",
        24,
        "--texts.decoding.block_size",
        8,
        "--texts.shard_size",
        2,
    ),
]


@pytest.fixture
def files(tmp_path):
    """Captions and instructions for three images, one caption being too long for the model."""
    folder = tmp_path / "data"
    folder.mkdir()
    images, captions, records = [], [], []
    for number in range(3):
        name = f"{number}.png"
        Image.new("RGB", (30, 20), (80 * number, 0, 255)).save(folder / name)
        images.append({"id": number, "file_name": name})
        text = "far too long " * 20 if number == 1 else f"a red circle {number}"
        captions.append({"id": number, "image_id": number, "caption": text})
        turns = [("human", "<image>\nWhat is it?"), ("gpt", "A circle.")]
        records.append(
            {
                "id": str(number),
                "image": name,
                "conversations": [{"from": who, "value": text} for who, text in turns],
            }
        )
    (folder / "captions.json").write_text(json.dumps({"images": images, "annotations": captions}))
    (folder / "llava.json").write_text(json.dumps(records))
    return [
        *("--captions.images", folder, "--captions.annotations", folder / "captions.json"),
        *("--instructions.images", folder, "--instructions.annotations", folder / "llava.json"),
    ]


def test_images_and_texts(command, model, files, tmp_path):
    out = tmp_path / "out"
    result = command("collect", out, *files, *SETTINGS, "--model", model)
    assert result.status == 0, result.errors
    assert "left out 1 of 3 captions, which have more than 30 tokens" in result.output
    assert "Trajectories in" in result.output

    teacher = fingerprint_module(ShowoPipeline.from_pretrained(model).network)
    store = TrajectoryStore.open(out / "images", kind="images", teacher=teacher)
    assert store.num_samples == 2
    assert store.identity.settings["sampling.guidance_scale"] == 0.5
    prompts = {record.prompt for record in ImageTrajectoryDataset(store)}
    assert prompts == {"a red circle 0", "a red circle 2"}

    texts = TrajectoryStore.open(out / "texts", kind="texts", teacher=teacher)
    assert texts.num_samples + sum(texts.filtered.values()) == 3


def test_codes_are_those_of_the_image_files(command, model, files, tmp_path):
    out = tmp_path / "out"
    settings = [*SETTINGS, "--num_images", 0, "--texts.max_repeats", 40]
    assert command("collect", out, *files, *settings, "--model", model).status == 0
    assert not (out / "images").exists()
    dataset = TextTrajectoryDataset(out / "texts")
    pipeline = ShowoPipeline.from_pretrained(model)
    folder = files[1]
    expected = {
        tuple(pipeline.image_tokenizer.encode(load_image(path, 16)[None])[0].tolist())
        for path in folder.glob("*.png")
    }
    assert len(dataset) > 0, "the test says nothing without an answer"
    for index in range(len(dataset)):
        assert tuple(dataset[index].image.tolist()) in expected


def test_an_interrupted_run_continues(command, model, files, tmp_path, monkeypatch):
    run = [*files, *SETTINGS, "--num_texts", 0, "--images.shard_size", 1, "--model", model]
    command("collect", tmp_path / "whole", *run)

    def interrupted(*arguments, **options):
        written = TrajectoryStore.write_shard

        def write_shard(self, *values, **names):
            written(self, *values, **names)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(TrajectoryStore, "write_shard", write_shard)
            return collect_images(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr("showo_turbo.trajectories.collector.collect_images", interrupted)
        assert command("collect", tmp_path / "out", *run).status == 130
    assert not TrajectoryStore.inspect(tmp_path / "out" / "images").complete
    assert command("collect", tmp_path / "out", *run).status == 0
    whole, out = (TrajectoryStore.open(tmp_path / name / "images") for name in ("whole", "out"))
    assert out.fingerprint == whole.fingerprint


def test_a_shapes_world(command, model, tmp_path):
    world = ["--shapes.folder", tmp_path / "world", "--shapes.images", 6]
    world += ["--shapes.documents", 2, "--shapes.validation_images", 2]
    counts = ["--num_images", 3, "--num_texts", 2]
    result = command("collect", tmp_path / "out", *world, *counts, *SETTINGS, "--model", model)
    assert result.status == 0, result.errors
    assert (tmp_path / "world" / "world.json").exists()
    assert TrajectoryStore.open(tmp_path / "out" / "images").identity.num_prompts == 3
    assert TrajectoryStore.open(tmp_path / "out" / "texts").identity.num_prompts == 2


@pytest.mark.bad_input
class TestBadInput:
    def test_nothing_to_collect_for(self, mistake, model, tmp_path):
        message = mistake("collect", tmp_path / "out", "--model", model)
        assert "there is nothing to collect for; name captions, instructions or" in message
        assert not (tmp_path / "out").exists()

    def test_a_negative_number(self, mistake, model, files, tmp_path):
        message = mistake("collect", tmp_path / "out", *files, "--num_images", -3)
        assert "num_images is -3; expected 0 or more" in message
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--images.segments", 3], "3 segments do not divide 4 steps"),
            (["--images.sampling.sampling_steps", 18], "steps is 18; choose 1 to 16"),
            (["--num_images", 4], "4 trajectories asked for, but there are 3 captions"),
            (["--texts.decoding.block_size", 0], "block_size is 0"),
            (["--images.colour", "red"], "unrecognized arguments: --images.colour red"),
            (["--captions.annotations", "none.json"], "none.json does not exist"),
        ],
    )
    def test_options(self, mistake, model, files, tmp_path, options, message):
        run = ["collect", tmp_path / "out", *files, *SETTINGS, *options]
        assert message in mistake(*run, "--model", model)
        assert not (tmp_path / "out").exists()

    def test_stores_of_another_model(self, command, mistake, model, files, tmp_path):
        from ..tiny import write_tiny_model

        other = write_tiny_model(tmp_path / "other", seed=3)
        run = ["collect", tmp_path / "out", *files, *SETTINGS, "--num_texts", 0]
        command(*run, "--model", model)
        assert "holds other trajectories: teacher" in mistake(*run, "--model", other)
