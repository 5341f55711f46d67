"""What an image depends on: its own seed, not its batch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.parallel import (
    decode_image_codes,
    denoise_images,
    gives_one_image,
)

from .denoised_states import states


def test_images_that_begin_at_random_differ_by_their_seeds(precise_model):
    sampling = ImageSampling(2, random_start=0.5)
    assert not gives_one_image(precise_model, sampling)
    first, second = states(precise_model, [[1], [1]], sampling, [0, 1])[:, -1]
    assert not torch.equal(first, second)


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_trained_images_do_not_depend_on_the_batch(trained, batch_size):
    """In single precision, over many prompts of different lengths, in another order too."""
    generator = torch.Generator().manual_seed(1)
    prompts = [
        torch.randint(1, 600, (index % 20,), generator=generator).tolist() for index in range(24)
    ]
    sampling = ImageSampling(4, 1.0, token_temperature=1.0, confidence_temperature=2.0)
    together = decode_image_codes(trained, prompts, sampling, range(24))
    order = torch.randperm(24, generator=generator).tolist()
    for begin in range(0, 24, batch_size):
        some = order[begin : begin + batch_size]
        codes = decode_image_codes(trained, [prompts[i] for i in some], sampling, some)
        assert torch.equal(codes, together[some])


@settings(max_examples=10)
@given(data=st.data())
def test_a_sample_depends_on_its_own_seed_only(precise_model, data):
    """Alone, in any batch and at any place in it."""
    sampling = ImageSampling(4, 1.0, token_temperature=1.0, confidence_temperature=2.0)
    prompt = st.lists(st.integers(0, 28), max_size=9)
    pairs = data.draw(st.lists(st.tuples(prompt, st.integers(0, 2**32)), min_size=2, max_size=5))
    together = decode_image_codes(
        precise_model, [prompt for prompt, _ in pairs], sampling, [seed for _, seed in pairs]
    )
    order = data.draw(st.permutations(range(len(pairs))))
    shuffled = decode_image_codes(
        precise_model, [pairs[i][0] for i in order], sampling, [pairs[i][1] for i in order]
    )
    assert torch.equal(shuffled, together[list(order)])
    prompt, seed = pairs[0]
    alone = decode_image_codes(precise_model, [prompt], sampling, [seed])
    assert torch.equal(alone[0], together[0])


def test_seeds_make_the_difference(model):
    sampling = ImageSampling(4, token_temperature=1.0)
    codes = decode_image_codes(model, [[1]] * 3, sampling, [5, 6, 5])
    assert torch.equal(codes[0], codes[2])
    assert not torch.equal(codes[0], codes[1])
    greedy = decode_image_codes(model, [[1]] * 2, ImageSampling(4), [5, 6])
    assert torch.equal(greedy[0], greedy[1])


def test_order_seed_fixes_one_order_for_all_images_and_steps(model):
    def order(prompts, steps, seed):
        noise = {"confidence_temperature": 1e6, "shared_noise_seed": seed}
        sampling = ImageSampling(sampling_steps=steps, mask_schedule="linear", **noise)
        revealed_by = torch.zeros(len(prompts), model.config.image_tokens, dtype=torch.long)
        for step in denoise_images(model, prompts, sampling):
            revealed_by[step.revealed] = step.index
        return revealed_by

    prompts = [[1, 2, 3], [4], [5, 6]]
    one_by_one = order(prompts, model.config.image_tokens, 3)
    assert (one_by_one == one_by_one[0]).all()
    assert one_by_one[0].unique().numel() == model.config.image_tokens
    for steps in (2, 4):
        few = order(prompts[:1], steps, 3)[0]
        assert (few[one_by_one[0].argsort()].diff() >= 0).all()
    assert (order(prompts, model.config.image_tokens, 4) != one_by_one).any()


def test_the_global_generator_is_left_alone(model):
    before = torch.get_rng_state()
    decode_image_codes(model, [[1]], ImageSampling(2, token_temperature=1.0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("options", "same"),
    [
        ({}, True),
        ({"token_temperature": 0.5}, False),
        ({"confidence_temperature": 1.0}, False),
        ({"confidence_temperature": 1.0, "shared_noise_seed": 0}, True),
        ({"token_temperature": 0.5, "shared_noise_seed": 0}, False),
        ({"reveal_order": "halton"}, True),
        ({"reveal_order": "halton", "token_temperature": 0.5}, False),
    ],
)
def test_whether_seeds_matter(model, options, same):
    sampling = ImageSampling(6, **options)
    assert sampling.one_image_a_prompt == same
    steps = [step.codes for step in denoise_images(model, [[1, 2]] * 2, sampling, [5, 6])]
    first, second = torch.stack(steps, dim=1)
    assert torch.equal(first, second) == same
