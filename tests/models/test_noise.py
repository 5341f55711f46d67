"""Noise that masked image tokens read."""

import copy

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.models.registry import load_model
from showo_turbo.models.showo import Showo
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.noise import noise_of
from showo_turbo.sampling.parallel import decode_image_codes, gives_one_image

from ..tiny import tiny_showo

PROMPTS = [[3, 4], [5, 6, 7], []]


@pytest.fixture
def network():
    return tiny_showo().eval()


def codes_of(network, share=0.5):
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(network.mask_code, (3, network.config.image_tokens), generator=generator)
    masked = torch.rand(codes.shape, generator=generator) < share
    return codes.masked_fill(masked, network.mask_code)


def trained(network, size=8):
    noisy = copy.deepcopy(network)
    noisy.add_noise(size)
    torch.manual_seed(0)
    for layer in (noisy.noise.image, noisy.noise.token):
        torch.nn.init.normal_(layer.weight)
    return noisy


@torch.no_grad()
def test_noise_has_no_effect_at_first(network):
    noisy = copy.deepcopy(network)
    noisy.add_noise(8)
    codes = codes_of(network)
    noise = noise_of(noisy, [1, 2, 3])
    assert noise.shape == (3, 1 + network.config.image_tokens, 8)
    assert torch.equal(
        noisy.image_logits(PROMPTS, codes, noise), network.image_logits(PROMPTS, codes)
    )
    sampling = ImageSampling(4, guidance_scale=1.0)
    assert torch.equal(
        decode_image_codes(noisy, PROMPTS, sampling), decode_image_codes(network, PROMPTS, sampling)
    )


@torch.no_grad()
def test_masked_tokens_read_it_as_the_formula_says(network):
    noisy, codes = trained(network), codes_of(network)
    noise = noise_of(noisy, [1, 2, 3])
    found = noisy.image_logits(PROMPTS, codes, noise)
    sequences = noisy.sequences.text_to_image(PROMPTS, codes)
    embeddings = noisy.showo.model.embed_tokens(sequences.input_ids).clone()
    image, token = noisy.noise.image.weight, noisy.noise.token.weight
    start = embeddings.shape[1] - codes.shape[1] - 1
    for row in range(3):
        for i in range(codes.shape[1]):
            if codes[row, i] == noisy.mask_code:
                embeddings[row, start + i] += image @ noise[row, 0] + token @ noise[row, 1 + i]
    hidden = noisy.hidden_states_of(sequences, embeddings)[:, start:-1]
    expected = noisy.logits(hidden, noisy.vocabulary.image_rows)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found, network.image_logits(PROMPTS, codes), atol=1e-2)


@torch.no_grad()
def test_the_cache_gives_what_whole_sequences_give(network):
    noisy, codes = trained(network), codes_of(network)
    noise = noise_of(noisy, [1, 2, 3])
    prefix = noisy.begin_images(PROMPTS, noise)
    for state in (codes, torch.full_like(codes, noisy.mask_code)):
        torch.testing.assert_close(
            prefix.logits(state), noisy.image_logits(PROMPTS, state, noise), atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("size", [1, 8, 64])
def test_noise_may_perturb_the_embeddings_from_the_beginning(network, size):
    noisy, again = copy.deepcopy(network), copy.deepcopy(network)
    noisy.add_noise(size, scale=0.3)
    again.add_noise(size, scale=0.3)
    assert torch.equal(noisy.noise.token.weight, again.noise.token.weight)
    masked = torch.ones(400, network.config.image_tokens, dtype=torch.bool)
    masked[:, 0] = False
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(400, 1 + network.config.image_tokens, size, generator=generator)
    with torch.no_grad():
        added = noisy.noise(noise, masked)
    embeddings = network.showo.model.embed_tokens.weight
    expected = 0.3 * float(embeddings.detach().std())
    assert float(added[:, 1:].std()) == pytest.approx(expected, rel=0.5 if size == 1 else 0.1)
    assert not added[:, 0].any()


def test_images_differ_by_their_seeds_and_by_nothing_else(network):
    noisy = trained(network)
    sampling = ImageSampling(2, guidance_scale=1.0)
    assert gives_one_image(network, sampling)
    assert not gives_one_image(noisy, sampling)
    images = decode_image_codes(noisy, [[3, 4]] * 6, sampling, [1, 2, 3, 4, 5, 1])
    assert torch.equal(images[0], images[5])
    assert len({tuple(row) for row in images.tolist()}) > 1
    assert torch.equal(decode_image_codes(noisy, [[3, 4]], sampling, [3])[0], images[2])


def test_a_saved_student_keeps_its_noise(network, tmp_path):
    noisy = trained(network)
    noisy.save_pretrained(tmp_path)
    again = load_model(tmp_path)
    assert again.noise_size == 8
    assert torch.equal(again.noise.token.weight, noisy.noise.token.weight)


@pytest.mark.bad_input
def test_families_and_sizes_without_noise_are_refused(network):
    with pytest.raises(UserError, match="noise_size is -1"):
        network.add_noise(-1)
    with pytest.raises(UserError, match="reads no noise"):
        super(Showo, network).add_noise(8)
