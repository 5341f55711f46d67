import json
import pickle
import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from showo_turbo.data import (
    DistillationBatchSizes,
    DistillationDataModule,
    ImageDataModule,
    PretrainBatchSizes,
    PretrainDataModule,
)
from showo_turbo.inference import ShowoPipeline
from showo_turbo.inference.generation_config import load_generation_config
from showo_turbo.inference.model_folder import write_model_folder
from showo_turbo.models.magvitv2 import MAGVITv2
from showo_turbo.models.registry import load_model
from showo_turbo.models.showo import Showo
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.shapes import ShapesWorld
from showo_turbo.text_tokenizer import TextTokenizer
from showo_turbo.training import PretrainMAGVITv2, PretrainShowo, ShowoTurbo

from ..callbacks.runs import make_trainer, shapes_showo
from ..continuous import feature_showo, write_tiny_clip
from ..tiny import (
    GOLDEN_CONFIG,
    released_keys,
    tiny_magvitv2,
    tiny_networks,
    write_tiny_model,
)
from ..tiny_mmada import shapes_mmada


def state_of(module):
    """What is trained, by the released keys."""
    return (module.student if hasattr(module, "student") else module.model).state_dict()


def trained_checkpoint(module, data, folder):
    """A checkpoint that Lightning wrote after a step of training."""
    trainer = make_trainer(folder, max_steps=1, limit_train_batches=1)
    trainer.fit(module, data)
    trainer.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt"


def assert_loads_from_checkpoint(module, checkpoint):
    """Lightning's own way, without another argument."""
    again = type(module).load_from_checkpoint(checkpoint)
    for key, value in state_of(module).items():
        assert torch.equal(state_of(again)[key], value), key


@pytest.fixture
def shapes(tmp_path):
    return ShapesWorld(tmp_path / "world", images=6, documents=2, validation_images=2)


class TestWhatTrainingWrites:
    """Both layouts are one: the released keys, and what `from_pretrained` reads."""

    @pytest.mark.parametrize("name", ["turbo", "pretrained"])
    def test_show_o(self, command, tmp_path, shapes, name):
        model = tmp_path / "models"
        shapes_showo().save_pretrained(model / "showo")
        tiny_magvitv2(bits=9).save_pretrained(model / "magvitv2")
        images = {"image_tokenizer": str(model / "magvitv2"), "text_tokenizer": "shapes"}
        if name == "turbo":
            ways = {"sampling": ImageSampling(2, reveal_order="halton", top_k={2: 9, 4: 20})}
            ways |= {"decoding": TextDecoding(max_new_tokens=7)}
            module = ShowoTurbo(str(model / "showo"), max_language_length=16, **images, **ways)
            sizes = DistillationBatchSizes(image=0, text=0, language=1)
            data = DistillationDataModule(24, shapes=shapes, batch_sizes=sizes)
        else:
            ways = {"sampling": ImageSampling(8, 2.0, confidence_temperature=4.0)}
            module = PretrainShowo(initial_weights=str(model / "showo"), **images, **ways)
            sizes = PretrainBatchSizes(image=1, text=1, language=1)
            data = PretrainDataModule(24, shapes=shapes, batch_sizes=sizes)
        checkpoint = trained_checkpoint(module, data, tmp_path / "run")
        result = command("export", checkpoint, tmp_path / "out")
        assert result.status == 0, result.errors

        written = load_file(tmp_path / "out" / "pytorch_model.safetensors")
        released = {key for key in released_keys("showo") if ".layers." not in key}
        layers = {key for key in released_keys("showo") if ".layers.0." in key}
        assert {key for key in written if ".layers." not in key} == released
        assert {key for key in written if ".layers.0." in key} == layers
        assert {"llm_vocab_size", "num_vq_tokens", "codebook_size"} <= set(
            json.loads((tmp_path / "out" / "config.json").read_text())
        )
        found = Showo.from_pretrained(tmp_path / "out").state_dict()
        for key, value in state_of(module).items():
            assert torch.equal(found[key], value), key
        # How it was drawn with comes along, and so do the tokenizers that were trained with.
        best = load_generation_config(tmp_path / "out")
        assert best.sampling == ways["sampling"]
        assert best.decoding == ways.get("decoding", TextDecoding())
        assert TextTokenizer.from_pretrained(tmp_path / "out").size == 640
        images = MAGVITv2.from_pretrained(tmp_path / "out").state_dict()
        for key, value in module.image_tokenizer.state_dict().items():
            assert torch.equal(images[key], value), key
        assert str(tmp_path) not in (tmp_path / "out" / "config.json").read_text()
        assert_loads_from_checkpoint(module, checkpoint)
        other = ["--overwrite", "--sampling.sampling_steps", 5]
        assert command("export", checkpoint, tmp_path / "out", *other).status == 0
        changed = load_generation_config(tmp_path / "out")
        assert changed.sampling == replace(ways["sampling"], sampling_steps=5)
        assert changed.decoding == best.decoding

    def test_an_image_tokenizer(self, command, mistake, tmp_path, shapes):
        module = PretrainMAGVITv2(tiny_magvitv2().config)
        data = ImageDataModule(24, batch_size=2, shapes=shapes)
        checkpoint = trained_checkpoint(module, data, tmp_path / "run")
        run = ["export", checkpoint, tmp_path / "out"]
        message = mistake(*run, "--text_tokenizer", "shapes")
        assert "holds an image tokenizer; leave out --text_tokenizer" in message
        message = mistake(*run, "--sampling.sampling_steps", 4)
        assert "holds an image tokenizer; leave out --sampling" in message
        assert command(*run, "--half").status == 0
        found = MAGVITv2.from_pretrained(tmp_path / "out")
        assert found.config == module.model.config
        for key, value in state_of(module).items():
            expected = value.half().float() if value.is_floating_point() else value
            assert torch.equal(found.state_dict()[key], expected), key
        assert "| pixels a code | 4 x 4 |" in (tmp_path / "out" / "README.md").read_text()
        assert_loads_from_checkpoint(module, checkpoint)


def write_checkpoint(path, prefix="student.", *, tokenizer="shapes", image_tokenizer="x/y", **more):
    """What Lightning saves of a module that holds a network, an optimizer and more."""
    showo, images, _ = tiny_networks(tokenizer=tokenizer, image_tokenizer=image_tokenizer)
    state = {f"{prefix}{key}": value for key, value in showo.state_dict().items()}
    state |= {f"ema.module.{key}": value + 1 for key, value in showo.state_dict().items()}
    state["metric.total"] = torch.zeros(1)
    content = {
        "state_dict": state,
        "optimizer_states": [{"state": {}, "param_groups": [{"lr": 0.1}]}],
        "epoch": 3,
        "global_step": 120,
        "showo_config": showo.config.to_dict(),
    }
    torch.save(content | more, path)
    return showo, images


def test_how_it_draws_best_goes_with_it(command, mistake, tmp_path):
    write_checkpoint(tmp_path / "last.ckpt")
    run = ["export", tmp_path / "last.ckpt", tmp_path / "out", "--sampling.sampling_steps"]
    assert "steps is 99; choose 1 to 16" in mistake(*run, 99)
    assert not (tmp_path / "out").exists()
    result = command(*run, 4, "--sampling.shared_noise_seed", 9)
    assert result.status == 0, result.errors
    assert load_generation_config(tmp_path / "out").sampling == ImageSampling(
        sampling_steps=4, shared_noise_seed=9
    )


@pytest.mark.parametrize("prefix", ["student.", "model."])
def test_a_checkpoint_becomes_a_model_folder(command, tmp_path, prefix):
    showo, _ = write_checkpoint(tmp_path / "last.ckpt", prefix)
    result = command("export", tmp_path / "last.ckpt", tmp_path / "out")
    assert result.status == 0, result.errors
    assert "parameters written to" in result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "config.json",
        "pytorch_model.safetensors",
        "README.md",
    }
    found = Showo.from_pretrained(tmp_path / "out")
    assert found.config == showo.config
    for key, value in showo.state_dict().items():
        assert torch.equal(found.state_dict()[key], value), key
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| optimizer steps | 120 |" in card
    assert "| checkpoint | last.ckpt |" in card


def test_it_goes_where_a_model_id_is_taken(command, tmp_path):
    image_tokenizer = tmp_path / "magvitv2"
    showo, images = write_checkpoint(tmp_path / "last.ckpt", image_tokenizer=str(image_tokenizer))
    images.save_pretrained(image_tokenizer)
    command("export", tmp_path / "last.ckpt", tmp_path / "out")
    loaded = ShowoPipeline.from_pretrained(tmp_path / "out")
    expected = ShowoPipeline(showo, images, TextTokenizer.from_pretrained("shapes"))
    codes = [p.generate(["a red circle"], sampling_steps=2).codes for p in (loaded, expected)]
    assert torch.equal(*codes)


@pytest.mark.parametrize("family", ["features", "masked text"])
def test_all_that_a_model_answers_with_goes_with_it(command, tmp_path, family):
    """The folder is moved, and where it came from is gone."""
    made = tmp_path / "made"
    places = {"image_tokenizer": str(made / "magvitv2"), "tokenizer": "shapes"}
    content = {}
    if family == "features":
        network = feature_showo(
            **places,
            vision_encoder="openai/clip-vit-large-patch14-336",
            text_vocabulary_size=640,
            codebook_size=512,
            image_tokens=36,
            max_text_length=32,
            eos_id=0,
        )
        content["vision_encoder"] = str(write_tiny_clip(made / "clip"))
    else:
        network = shapes_mmada(**places)
    tiny_magvitv2(bits=9).save_pretrained(made / "magvitv2")
    content["state_dict"] = {f"student.{k}": value for k, value in network.state_dict().items()}
    content["showo_config"] = network.config.to_dict()
    torch.save(content, made / "last.ckpt")
    result = command("export", made / "last.ckpt", made / "out")
    assert result.status == 0, result.errors
    shutil.move(made / "out", tmp_path / "moved")
    shutil.rmtree(made)
    Image.new("RGB", (24, 24), "red").save(tmp_path / "red.png")
    asked = ["answer", tmp_path / "red.png", "--question", "What is it?", "--max_new_tokens", 16]
    result = command(*asked, "--model", tmp_path / "moved")
    assert result.status == 0, result.errors
    drawn = ["generate", "a red circle", "--output", tmp_path / "drawn", "--sampling_steps", 2]
    result = command(*drawn, "--model", tmp_path / "moved")
    assert result.status == 0, result.errors
    assert type(load_model(tmp_path / "moved")) is type(network)


def test_sizes_and_parts_from_another_model(command, tmp_path):
    """What lies in the folder that the sizes are from comes along."""
    showo, images, texts = tiny_networks(image_tokenizer=None, tokenizer=None)
    parts = {"image_tokenizer": images, "text_tokenizer": texts}
    write_model_folder(tmp_path / "like", showo.state_dict(), showo.config, **parts)
    write_checkpoint(tmp_path / "last.ckpt", showo_config=None)
    run = ["export", tmp_path / "last.ckpt", tmp_path / "out", "--config_from", tmp_path / "like"]
    assert command(*run).status == 0
    found = MAGVITv2.from_pretrained(tmp_path / "out").state_dict()
    for key, value in images.state_dict().items():
        assert torch.equal(found[key], value), key


def test_half_precision(command, tmp_path):
    showo, _ = write_checkpoint(tmp_path / "last.ckpt")
    command("export", tmp_path / "last.ckpt", tmp_path / "whole")
    command("export", tmp_path / "last.ckpt", tmp_path / "half", "--half")
    sizes = [(tmp_path / n / "pytorch_model.safetensors").stat().st_size for n in ("whole", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    found = Showo.from_pretrained(tmp_path / "half").state_dict()
    for key, value in showo.state_dict().items():
        assert torch.equal(found[key], value.half().float())


def test_a_text_tokenizer_is_copied_where_none_is_named(command, tmp_path):
    write_checkpoint(tmp_path / "last.ckpt", tokenizer=None)
    run = ["export", tmp_path / "last.ckpt", tmp_path / "out", "--no_card"]
    assert command(*run, "--text_tokenizer", "shapes").status == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "config.json",
        "pytorch_model.safetensors",
        "tokenizer.json",
    }
    assert TextTokenizer.from_pretrained(tmp_path / "out").size == 640


def test_sizes_from_another_model(command, tmp_path):
    write_checkpoint(tmp_path / "last.ckpt", showo_config=None)
    like = write_tiny_model(tmp_path / "like")
    run = ["export", tmp_path / "last.ckpt", tmp_path / "out", "--config_from", like]
    assert command(*run).status == 0
    assert Showo.from_pretrained(tmp_path / "out").config.hidden_size == 32


def test_overwriting(command, mistake, tmp_path):
    write_checkpoint(tmp_path / "last.ckpt")
    run = ["export", tmp_path / "last.ckpt", tmp_path / "out"]
    command(*run)
    assert "holds a model; name another folder" in mistake(*run)
    assert command(*run, "--overwrite").status == 0


@pytest.mark.bad_input
class TestBadInput:
    def test_no_sizes(self, mistake, tmp_path):
        write_checkpoint(tmp_path / "last.ckpt", showo_config=None)
        message = mistake("export", tmp_path / "last.ckpt", tmp_path / "out")
        assert "name a model that has them with --config_from" in message
        assert not (tmp_path / "out").exists()

    def test_sizes_that_do_not_fit(self, mistake, tmp_path):
        write_checkpoint(tmp_path / "last.ckpt", showo_config=GOLDEN_CONFIG.to_dict())
        message = mistake("export", tmp_path / "last.ckpt", tmp_path / "out")
        assert "does not fit its configuration" in message and "wrong shape" in message
        write_checkpoint(tmp_path / "last.ckpt", showo_config={"codebook_size": -1})
        message = mistake("export", tmp_path / "last.ckpt", tmp_path / "out")
        assert "holds wrong sizes: codebook_size is -1" in message
        assert not (tmp_path / "out").exists()

    def test_no_text_tokenizer(self, mistake, tmp_path):
        write_checkpoint(tmp_path / "last.ckpt", tokenizer=None)
        message = mistake("export", tmp_path / "last.ckpt", tmp_path / "out")
        assert "names no text tokenizer" in message and "--text_tokenizer shapes" in message
        assert not (tmp_path / "out").exists()

    def test_another_modules_checkpoint(self, mistake, tmp_path):
        torch.save({"state_dict": {"encoder.weight": torch.zeros(1)}}, tmp_path / "a.ckpt")
        message = mistake("export", tmp_path / "a.ckpt", tmp_path / "out")
        assert "holds no network to export; expected a checkpoint of ShowoTurbo or" in message

    @pytest.mark.parametrize("content", [{"weights": 1}, {"state_dict": 3}, [1]])
    def test_no_checkpoint_of_training(self, mistake, tmp_path, content):
        torch.save(content, tmp_path / "a.ckpt")
        message = mistake("export", tmp_path / "a.ckpt", tmp_path / "out")
        assert "has no state_dict" in message

    def test_files_that_are_none(self, mistake, tmp_path):
        assert "does not exist" in mistake("export", tmp_path / "a.ckpt", tmp_path / "out")
        (tmp_path / "a.ckpt").write_bytes(b"garbage")
        message = mistake("export", tmp_path / "a.ckpt", tmp_path / "out")
        assert "holds more than weights or is damaged" in message
        assert "is a sharded checkpoint" in mistake("export", tmp_path, tmp_path / "out")

    def test_a_checkpoint_that_runs_code(self, mistake, tmp_path):
        class Malicious:
            def __reduce__(self):
                return open, (str(tmp_path / "ran"), "w")

        with open(tmp_path / "a.ckpt", "wb") as file:
            pickle.dump({"state_dict": {}, "x": Malicious()}, file)
        assert "holds more than weights" in mistake("export", tmp_path / "a.ckpt", tmp_path / "out")
        assert not (tmp_path / "ran").exists()

    def test_weights_too_large_for_half(self, mistake, tmp_path):
        showo, _ = write_checkpoint(tmp_path / "last.ckpt")
        state = {f"student.{key}": value for key, value in showo.state_dict().items()}
        state["student.showo.lm_head.bias"] = torch.full((715,), 1e6)
        write_checkpoint(tmp_path / "last.ckpt", state_dict=state)
        run = ["export", tmp_path / "last.ckpt", tmp_path / "out"]
        assert "too large for half precision" in mistake(*run, "--half")
        assert not (tmp_path / "out").exists()

    def test_a_file_in_the_way(self, mistake, tmp_path):
        write_checkpoint(tmp_path / "last.ckpt")
        (tmp_path / "out").touch()
        assert "is a file" in mistake("export", tmp_path / "last.ckpt", tmp_path / "out")
