"""What a model's folder says about how it draws best."""

import json
from dataclasses import asdict

import pytest
import torch
from PIL import Image

from showo_turbo.errors import UserError
from showo_turbo.inference import ShowoPipeline
from showo_turbo.inference.generation_config import (
    GenerationConfig,
    load_generation_config,
    save_generation_config,
)
from showo_turbo.sampling.image_sampling import ImageSampling, SamplingChanges
from showo_turbo.sampling.text_decoding import TextDecoding

from ..tiny import tiny_networks, write_tiny_model
from .conftest import PROMPTS

DECODING = TextDecoding("autoregressive", 12, temperature=0.5)
OWN = ImageSampling(3, 1.0, "linear", 0.5, 2.0, 7, 0.5, shared_noise_seed=4)


def test_what_is_written_is_read(tmp_path):
    save_generation_config(tmp_path, OWN, DECODING)
    assert load_generation_config(tmp_path) == GenerationConfig(OWN, DECODING)
    save_generation_config(tmp_path, OWN, None)
    assert load_generation_config(tmp_path) == GenerationConfig(OWN)


def test_a_model_that_says_nothing(tmp_path):
    assert load_generation_config(tmp_path) == GenerationConfig()
    # As transformers writes it, for texts.
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 50256}')
    assert load_generation_config(tmp_path) == GenerationConfig()


def test_the_shipped_model_says_something():
    assert load_generation_config("shapes").sampling != ImageSampling()


def test_changes_leave_the_rest():
    assert SamplingChanges().over(OWN) == OWN
    changed = SamplingChanges(sampling_steps=2, mask_schedule="pow").over(OWN)
    assert changed == ImageSampling(2, 1.0, "pow", 0.5, 2.0, 7, 0.5, shared_noise_seed=4)


def test_what_refines_an_option_goes_with_it():
    unguided = SamplingChanges(guidance_scale=0.0).over(OWN)
    assert not unguided.guided
    assert SamplingChanges(confidence_temperature=2.0).over(OWN).shared_noise_seed is None
    assert SamplingChanges(token_temperature=0.5).over(OWN).top_k is None
    both = SamplingChanges(guidance_scale=2.0, guidance_end=3.0).over(OWN)
    assert (both.guidance_scale, both.guidance_end, both.shared_noise_seed) == (2.0, 3.0, 4)


def test_the_pipeline_draws_in_the_models_way(tmp_path):
    model = write_tiny_model(tmp_path / "model")
    save_generation_config(model, OWN, DECODING)
    pipeline = ShowoPipeline.from_pretrained(model)
    plain = ShowoPipeline(*tiny_networks())
    by_default = pipeline.generate(PROMPTS).codes
    sampling = ImageSampling(2, 0.0, "linear", 0.5, 2.0, 7, shared_noise_seed=4)
    changed = pipeline.generate(PROMPTS, sampling_steps=2, guidance_scale=0.0).codes
    assert torch.equal(by_default, plain.generate(PROMPTS, OWN).codes)
    assert torch.equal(changed, plain.generate(PROMPTS, sampling).codes)
    assert not torch.equal(by_default, changed)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "no JSON object"),
        ({"images": [4]}, "no JSON object under 'images'"),
        ({"images": {"sampling_steps": "many"}}, "steps.*many"),
        ({"images": {"sampling_steps": 1.5}}, "steps.*1.5"),
        ({"images": {"mask_schedule": "steep"}}, "mask_schedule.*steep"),
        ({"images": {"guidance": 1}}, "guidance"),
    ],
)
def test_what_no_model_can_do_is_refused(tmp_path, content, message):
    (tmp_path / "generation_config.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"generation_config.json.*{message}.*correct or remove"):
        load_generation_config(tmp_path)


def test_the_pipeline_answers_in_the_models_way(tmp_path):
    model = write_tiny_model(tmp_path / "model")
    save_generation_config(model, None, DECODING)
    pipeline = ShowoPipeline.from_pretrained(model)
    image = Image.new("RGB", (16, 16), "red")
    by_default = pipeline.answer(image, "What?").tokens
    assert by_default == pipeline.answer(image, "What?", DECODING).tokens
    assert len(by_default[0]) <= 12


def test_the_file_holds_every_option(tmp_path):
    save_generation_config(tmp_path, OWN, DECODING)
    content = json.loads((tmp_path / "generation_config.json").read_text())
    assert content == {"images": asdict(OWN), "texts": asdict(DECODING)}


@pytest.mark.bad_input
def test_old_names_are_said_with_the_new_ones(tmp_path):
    old = {"images": {"steps": 4, "order_seed": 9}}
    (tmp_path / "generation_config.json").write_text(json.dumps(old))
    expected = "sampling_steps instead of 'steps', shared_noise_seed instead of 'order_seed'"
    with pytest.raises(UserError, match=expected):
        load_generation_config(tmp_path)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("texts", "message"),
    [([4], "no JSON object under 'texts'"), ({"method": "beam"}, "options of decoding.*beam")],
)
def test_texts_that_no_model_can_write_are_refused(tmp_path, texts, message):
    (tmp_path / "generation_config.json").write_text(json.dumps({"texts": texts}))
    with pytest.raises(UserError, match=message):
        load_generation_config(tmp_path)
