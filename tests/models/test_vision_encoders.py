"""Encoders of continuous features: CLIP and the image tokenizer's latents."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from showo_turbo.data.images import square_pixels
from showo_turbo.errors import UserError
from showo_turbo.models.image_input import ImageInput, compact
from showo_turbo.models.vision_encoders import CLIPFeatures, LatentFeatures, check_vision_encoder

from ..continuous import golden_cases, tiny_clip, write_golden_clip, write_tiny_clip
from ..tiny import tiny_magvitv2

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
CLIP = ImageInput("clip", 16, 24, 8)


def picture(width, height, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def test_golden_features(tmp_path):
    encoder = CLIPFeatures.from_pretrained(write_golden_clip(tmp_path / "clip"))
    assert (encoder.resolution, encoder.tokens, encoder.width) == (336, 576, 32)
    photo = Image.fromarray(golden_cases()["photo"].numpy())
    pixels = square_pixels(photo, encoder.resolution, crop=encoder.crop)[None]
    given = encoder.normalize(pixels)[0, :, ::12, ::12]
    assert (given - golden_cases()["mmu_vit.pixel_values_every_12th"]).abs().max() < 1e-5
    features = encoder.encode(pixels)
    assert (features - golden_cases()["mmu_vit.features"]).abs().max() < 1e-4


def test_pixels_are_normalized_as_computed_by_hand():
    encoder = tiny_clip()
    levels = torch.arange(0, 256, 85).float()  # 0, 85, 170, 255
    pixels = (levels / 127.5 - 1).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    found = encoder.normalize(pixels)
    for channel, (mean, std) in enumerate(zip(MEAN, STD, strict=True)):
        expected = [(level / 255 - mean) / std for level in levels.tolist()]
        torch.testing.assert_close(found[0, channel].flatten().tolist(), expected)


@pytest.mark.parametrize("size", [(20, 20), (31, 40), (43, 20), (20, 47), (65, 41), (300, 211)])
def test_preprocessing_is_that_of_transformers(size):
    processing = pytest.importorskip("transformers.models.clip.image_processing_pil_clip")
    side = {"height": 20, "width": 20}
    processor = processing.CLIPImageProcessorPil(size={"shortest_edge": 20}, crop_size=side)
    image, encoder = picture(*size), tiny_clip()
    expected = processor(images=image, return_tensors="pt")["pixel_values"]
    pixels = square_pixels(image, encoder.resolution, crop=encoder.crop)[None]
    torch.testing.assert_close(encoder.normalize(pixels), expected, rtol=0, atol=1e-6)


def test_an_odd_rest_is_cropped_in_two_ways():
    """Of 23 columns 3 go: 1.5 is rounded to 2, as torchvision does, or down."""
    image = picture(23, 20)
    values = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 127.5 - 1
    for crop, left in (("nearest", 2), ("floor", 1)):
        found = square_pixels(image, 20, crop=crop)
        torch.testing.assert_close(found, values[:, :, left : left + 20])
    assert torch.equal(square_pixels(image, 20), square_pixels(image, 20, crop="nearest"))


def test_features_are_the_hidden_states_before_the_last_layer():
    """Of three layers the first two: the same network without its last layer gives them."""
    whole, shorter = tiny_clip(num_hidden_layers=3), tiny_clip()
    kept = {key: whole.model.state_dict()[key] for key in shorter.model.state_dict()}
    shorter.model.load_state_dict(kept)
    pixels = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        last = shorter.model(shorter.normalize(pixels)).last_hidden_state
    found = whole.encode(pixels)
    assert found.shape == (2, 16, 8)
    torch.testing.assert_close(found, last[:, 1:])
    assert not torch.allclose(found[0], found[1], atol=1e-3)


def test_a_folder_that_transformers_wrote_is_read(tmp_path):
    pixels = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1
    loaded = CLIPFeatures.from_pretrained(write_tiny_clip(tmp_path / "clip", seed=3))
    assert torch.equal(loaded.encode(pixels), tiny_clip(seed=3).encode(pixels))
    assert not loaded.training and loaded.encode(pixels).requires_grad is False


def test_latents_in_raster_order():
    tokenizer = tiny_magvitv2()
    encoder = LatentFeatures(tokenizer)
    pixels = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = encoder.encode(pixels)
    with torch.no_grad():
        latents = tokenizer.pixels_to_latents(pixels)
    assert found.shape == (2, 16, 6)
    for row in range(4):
        for column in range(4):
            assert torch.equal(found[:, 4 * row + column], latents[:, :, row, column])
    # The signs of the latents are the bits of the codes.
    bits = (found > 0).long()
    assert torch.equal((bits * (2 ** torch.arange(5, -1, -1))).sum(-1), tokenizer.encode(pixels))


def test_what_is_kept_in_half_precision():
    codes = torch.arange(4)
    assert compact(codes) is codes
    assert compact(torch.ones(2, 3)).dtype == torch.float16


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("images", "rows", "message"),
    [
        (torch.zeros(1, 16, 8), 2, "there are 1 images for 2 prompts"),
        (torch.zeros(1, 16).long(), 1, r"codes of shape \(16,\); expected features"),
        (torch.zeros(1, 16, 6), 1, r"features of shape \(16, 6\); expected .* \(16, 8\)"),
        (torch.zeros(1, 9, 8), 1, r"features of shape \(9, 8\); expected .* \(16, 8\)"),
    ],
)
def test_images_that_a_model_cannot_read(images, rows, message):
    with pytest.raises(UserError, match=message) as caught:
        CLIP.check(images, rows)
    assert "\n" not in str(caught.value)


@pytest.mark.bad_input
def test_features_for_a_model_that_reads_codes():
    with pytest.raises(UserError, match=r"features of shape \(16, 8\)"):
        ImageInput("codes", 16, 24).check(torch.zeros(1, 16, 8), 1)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"hidden_size": 12}, "have width 12, those of the model's images 8"),
        ({"image_size": 25}, "have number 25, those of the model's images 16"),
    ],
)
def test_a_vision_encoder_of_another_size(sizes, message):
    with pytest.raises(UserError, match=f"{message}"):
        check_vision_encoder(CLIP, tiny_clip(**sizes))


def no_config(folder):
    (folder / "config.json").unlink()


def wrong_size(folder):
    (folder / "config.json").write_text(json.dumps({"hidden_size": 7, "num_attention_heads": 2}))


def wrong_side(folder):
    (folder / "config.json").write_text(json.dumps({"image_size": [20, 20], "patch_size": 5}))


def wrong_weights(folder):
    for file in folder.glob("*.safetensors"):
        save_file({"vision_model.a": torch.zeros(1)}, file)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_config, "config.json does not exist"),
        (wrong_size, "config.json describes no vision transformer of CLIP"),
        (wrong_side, "image_size and patch_size are not whole numbers"),
        (wrong_weights, "do not fit its config.json: .* missing"),
    ],
)
def test_a_folder_that_holds_no_clip(tmp_path, spoil, message):
    folder = write_tiny_clip(tmp_path / "clip")
    spoil(folder)
    with pytest.raises(UserError, match=message) as caught:
        CLIPFeatures.from_pretrained(folder)
    assert "\n" not in str(caught.value)
