"""Answers about images that are read as continuous features: loading, batches, preprocessing."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from showo_turbo.data.images import square_pixels
from showo_turbo.errors import UserError
from showo_turbo.inference import ShowoPipeline, encoded_images
from showo_turbo.models.vision_encoders import CLIPFeatures, LatentFeatures

from .. import naive
from ..continuous import (
    feature_networks,
    golden_cases,
    golden_meta,
    tiny_clip,
    write_golden_clip,
    write_golden_model,
    write_tiny_clip,
)
from ..tiny import tiny_magvitv2

QUESTIONS = ["What is in the image?", "What color is the circle?", "Where?"]
LATENTS = {"image_input": "latents"}


def picture(seed, size=(23, 20)):
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


PICTURES = [picture(seed) for seed in range(3)]


@pytest.fixture(params=["clip", "latents"])
def pipeline(request):
    if request.param == "latents":
        return ShowoPipeline(*feature_networks(image_tokens=16, **LATENTS))
    return ShowoPipeline(*feature_networks(), vision_encoder=tiny_clip())


def features_by_hand(pipeline, image):
    """Of one picture: those of CLIP of a square of 20 pixels, or latents of one of 16."""
    if pipeline.network.image_input.kind == "clip":
        return tiny_clip().encode(square_pixels(image, 20, crop="floor")[None])[0]
    latents = tiny_magvitv2().pixels_to_latents(square_pixels(image, 16)[None])
    return latents.detach()[0].flatten(1).T


def test_answers_are_those_of_the_plain_way(pipeline):
    result = pipeline.answer(PICTURES, QUESTIONS, max_new_tokens=8)
    for place, (image, question) in enumerate(zip(PICTURES, QUESTIONS, strict=True)):
        prompt = pipeline.network.encode_question(pipeline.text_tokenizer, question)
        features = features_by_hand(pipeline, image)
        assert result.tokens[place] == naive.decode_features(pipeline.network, features, prompt, 8)


def test_an_image_is_encoded_once_for_all_its_questions(pipeline, monkeypatch):
    encoded = []
    given = type(pipeline.image_encoder).encode

    def encode(self, pixels):
        encoded.append(len(pixels))
        return given(self, pixels)

    expected = pipeline.answer(PICTURES[0], QUESTIONS, max_new_tokens=6)
    monkeypatch.setattr(type(pipeline.image_encoder), "encode", encode)
    found = pipeline.answer(PICTURES[0], QUESTIONS, max_new_tokens=6, batch_size=1)
    assert found.tokens == expected.tokens
    assert encoded == [1]
    encoded.clear()
    images = [PICTURES[place] for place in (0, 1, 0, 2, 1)]
    pipeline.answer(images, "What?", max_new_tokens=2, batch_size=2)
    assert encoded == [2, 1]  # 0 and 1; 2, as 0 is known; 1 is known
    monkeypatch.setattr(encoded_images, "REMEMBERED", 1)
    encoded.clear()
    pipeline.answer(images, "What?", max_new_tokens=2, batch_size=2)
    assert encoded == [2, 2, 1]  # 0 and 1; 0 again and 2; 1 again


def test_images_that_are_loaded_when_they_are_asked_for(pipeline):
    """Each access makes an object of its own, often at the same address in memory."""

    class Loaded(Sequence):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return PICTURES[range(3)[index]].copy()

    options = {"max_new_tokens": 6, "batch_size": 1}
    expected = pipeline.answer(PICTURES, "What?", **options)
    decoding = replace(pipeline.decoding, max_new_tokens=6)
    found = pipeline.answer_batches(Loaded(), ["What?"] * 3, decoding, batch_size=1)
    assert [tokens for batch in found for tokens in batch.tokens] == expected.tokens


def test_it_draws_from_codes_all_the_same(pipeline):
    drawn = pipeline.generate(["a red circle"], sampling_steps=3)
    plain = ShowoPipeline(*feature_networks(image_input="codes"))
    for key in (state := pipeline.network.showo.state_dict()):
        plain.network.showo.state_dict()[key].copy_(state[key])
    assert torch.equal(drawn.codes, plain.generate(["a red circle"], sampling_steps=3).codes)
    assert drawn.images[0].size == (16, 16)


def test_golden_pipeline(tmp_path):
    """From folders in the released layout and a picture to the recorded answers."""
    folder = write_golden_model(tmp_path / "model", clip=write_golden_clip(tmp_path / "clip"))
    tiny_magvitv2().save_pretrained(tmp_path / "magvitv2")
    pipeline = ShowoPipeline.from_pretrained(folder, image_tokenizer=tmp_path / "magvitv2")
    assert pipeline.asked_resolution == 336
    photo = Image.fromarray(golden_cases()["photo"].numpy())
    questions = golden_meta()["cases"]["mmu_vit"]["questions"]
    found = pipeline.answer(photo, questions, max_new_tokens=10)
    assert found.tokens == [golden_cases()[f"mmu_vit.{row}.answer"].tolist() for row in range(2)]


def write_model(folder, **sizes):
    network, image_tokenizer, _ = feature_networks(
        vision_encoder=str(folder / "clip"), image_tokenizer=str(folder / "magvitv2"), **sizes
    )
    network.save_pretrained(folder)
    image_tokenizer.save_pretrained(folder / "magvitv2")
    return folder


def test_a_folder_names_its_vision_encoder(tmp_path):
    folder = write_model(tmp_path / "model")
    write_tiny_clip(folder / "clip")
    loaded = ShowoPipeline.from_pretrained(folder, device="cpu")
    assert isinstance(loaded.image_encoder, CLIPFeatures)
    expected = loaded.answer(PICTURES[0], QUESTIONS, max_new_tokens=4).tokens
    built = ShowoPipeline(*feature_networks(), vision_encoder=tiny_clip())
    assert built.answer(PICTURES[0], QUESTIONS, max_new_tokens=4).tokens == expected
    # Another one may be named in its place.
    write_tiny_clip(tmp_path / "other", seed=5)
    loaded = ShowoPipeline.from_pretrained(folder, vision_encoder=tmp_path / "other")
    built = ShowoPipeline(*feature_networks(), vision_encoder=tiny_clip(seed=5))
    features = [each.encode_asked_images(PICTURES) for each in (loaded, built)]
    assert torch.equal(*features)


def test_latents_need_no_vision_encoder(tmp_path):
    loaded = ShowoPipeline.from_pretrained(write_model(tmp_path / "model", **LATENTS))
    assert isinstance(loaded.image_encoder, LatentFeatures)
    assert loaded.asked_resolution == loaded.resolution == 16
    assert loaded.answer(PICTURES[0], "What?", max_new_tokens=3).tokens


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"hidden_size": 12}, "features have width 12, those of the model's images 8"),
        ({"image_size": 25}, "features have number 25, those of the model's images 16"),
    ],
)
def test_a_vision_encoder_of_the_wrong_size(tmp_path, sizes, message):
    folder = write_model(tmp_path / "model")
    write_tiny_clip(folder / "clip", **sizes)
    named = ShowoPipeline.from_pretrained(folder)
    given = ShowoPipeline(*feature_networks(), vision_encoder=tiny_clip(**sizes))
    for pipeline in (named, given):
        with pytest.raises(UserError, match=message) as caught:
            pipeline.answer(PICTURES[0], "What?")
        assert "\n" not in str(caught.value)


@pytest.mark.bad_input
def test_a_vision_encoder_that_is_not_there(tmp_path):
    pipeline = ShowoPipeline.from_pretrained(write_model(tmp_path / "model"))
    assert pipeline.generate("a red circle", sampling_steps=2).images  # drawing needs none
    with pytest.raises(UserError, match="clip' is not a folder"):
        pipeline.answer(PICTURES[0], "What?")


@pytest.mark.bad_input
def test_a_question_that_leaves_no_room():
    """Of 256 positions 16 are features, one is the task, and four are system prompt and marks."""
    pipeline = ShowoPipeline(*feature_networks(), vision_encoder=tiny_clip())
    ids = pipeline.encode_question("What?", 1)
    room = 256 - 16 - 1
    assert pipeline.encode_question("What?", room - len(ids)) == ids
    with pytest.raises(UserError, match=f"together at most {room} fit"):
        pipeline.encode_question("What?", room - len(ids) + 1)
