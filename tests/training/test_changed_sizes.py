"""Pretraining that goes on at another resolution."""

from types import SimpleNamespace

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.models.showo import Showo, SizeChanges
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.parallel import decode_image_codes
from showo_turbo.training.pretrain_showo import PretrainShowo

from .test_pretrain_showo import drawings


def module(model, resolution, changes):
    made = PretrainShowo(
        changed_sizes=changes,
        initial_weights=str(model),
        text_tokenizer=str(model),
        sampling=ImageSampling(4),
    )
    made.trainer = SimpleNamespace(datamodule=SimpleNamespace(resolution=resolution))
    made.configure_model()
    made.log = lambda *_, **__: None
    made.log_dict = lambda *_, **__: None
    return made


def test_a_small_grid_starts_a_larger_one(random_shapes_model):
    """From 6 x 6 tokens to 9 x 9, with the same weights, which then learn and draw."""
    made = module(random_shapes_model, 36, SizeChanges(max_position_embeddings=300))
    before = Showo.from_pretrained(random_shapes_model)
    assert made.model.config.image_tokens == 81
    assert made.model.config.max_position_embeddings == 300
    assert made.model.config.max_text_length == before.config.max_text_length
    weights = before.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in made.model.state_dict().items())
    stream = drawings()
    stream["pixels"] = torch.rand(3, 3, 36, 36) * 2 - 1
    made.training_step({"image": stream}, 0).backward()
    codes = decode_image_codes(made.model, [[3]], ImageSampling(2))
    assert codes.shape == (1, 81)


@pytest.mark.bad_input
def test_another_resolution_has_to_be_meant(random_shapes_model):
    with pytest.raises(UserError, match="resolution 36, but the model's 36 image tokens are"):
        module(random_shapes_model, 36, None)
    with pytest.raises(UserError, match="resolution 37"):
        module(random_shapes_model, 37, SizeChanges())
