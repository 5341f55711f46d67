"""Images denoised in parallel: as recorded, and as a naive loop computes them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.noise import mixed_start
from showo_turbo.sampling.parallel import (
    denoise_images,
)

from .. import naive
from ..tiny import golden_cases, golden_showo
from .denoised_states import states

PROMPTS = [[], [3], [1, 2, 3, 4, 5, 6, 7], [28, 4]]


@pytest.mark.parametrize("steps", [8, 16])
def test_golden_trajectories(steps):
    model, golden = golden_showo(), golden_cases()[f"trajectory{steps}.states"]
    masked = golden == model.vocabulary.mask_id
    expected = torch.where(masked, model.vocabulary.mask_code, golden)
    prompts = [[1, 2, 3, 4], [7], [5, 6, *range(8, 16)]]
    found = states(model, prompts, ImageSampling(steps, guidance_scale=5.0))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("guidance", [0.0, 2.5])
@pytest.mark.parametrize("steps", [1, 2, 5, 16])
def test_greedy_as_naive_at_every_step(model, steps, guidance):
    found = states(model, PROMPTS, ImageSampling(steps, guidance))
    for sample, prompt in enumerate(PROMPTS):
        expected = naive.decode_image(model, prompt, steps=steps, guidance_scale=guidance)
        assert found[sample].tolist() == expected


@settings(max_examples=20)
@given(
    prompts=st.lists(st.lists(st.integers(0, 28), max_size=9), min_size=1, max_size=2),
    steps=st.integers(1, 6),
    guidance=st.sampled_from([0.0, 0.7, 4.0]),
    guidance_end=st.sampled_from([None, 0.0, 3.0]),
    schedule=st.sampled_from(["cosine", "linear", "pow", "sigmoid"]),
    token_temperature=st.sampled_from([0.0, 0.5, 1.0]),
    confidence_temperature=st.sampled_from([0.0, 1.0, 4.5]),
    confidence_annealing=st.sampled_from(["linear", "compounding"]),
    top_k=st.sampled_from([None, 1, 3, 24]),
    seed=st.integers(0, 2**32),
)
def test_sampled_as_naive_with_the_same_seed(
    precise_model,
    prompts,
    steps,
    guidance,
    guidance_end,
    schedule,
    token_temperature,
    confidence_temperature,
    confidence_annealing,
    top_k,
    seed,
):
    options = {
        "guidance_scale": guidance,
        "guidance_end": guidance_end,
        "token_temperature": token_temperature,
        "confidence_temperature": confidence_temperature,
        "confidence_annealing": confidence_annealing,
        "top_k": top_k,
    }
    sampling = ImageSampling(steps, mask_schedule=schedule, **options)
    seeds = [seed + i for i in range(len(prompts))]
    found = states(precise_model, prompts, sampling, seeds)
    for sample, prompt in enumerate(prompts):
        expected = naive.decode_image(
            precise_model, prompt, steps=steps, schedule=schedule, seed=seeds[sample], **options
        )
        assert found[sample].tolist() == expected


@pytest.mark.parametrize("steps", [1, 3, 16])
def test_in_halton_order_as_naive(precise_model, steps):
    options = {"token_temperature": 1.0, "reveal_order": "halton"}
    found = states(precise_model, PROMPTS, ImageSampling(steps, **options), [3, 4, 5, 6])
    for sample, prompt in enumerate(PROMPTS):
        expected = naive.decode_image(
            precise_model, prompt, steps=steps, seed=3 + sample, **options
        )
        assert found[sample].tolist() == expected


@settings(max_examples=10)
@given(
    steps=st.integers(1, 5),
    guidance=st.sampled_from([0.0, 1.0]),
    random_start=st.sampled_from([0.0, 0.4, 1.0]),
    revise_below=st.sampled_from([0.0, 0.2, 1.0]),
    reveal_order=st.sampled_from(["confidence", "halton"]),
    with_known=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_begun_with_random_codes_and_revised_as_naive(
    precise_model, steps, guidance, random_start, revise_below, reveal_order, with_known, seed
):
    mask_code, tokens = precise_model.mask_code, precise_model.config.image_tokens
    known = torch.full((2, tokens), mask_code)
    if with_known:
        known[:, ::3] = torch.arange(len(known[0, ::3]))
    sampling = ImageSampling(
        steps,
        guidance,
        token_temperature=1.0,
        reveal_order=reveal_order,
        random_start=random_start,
        revise_below=revise_below,
    )
    seeds = [seed, seed + 1]
    drawn = list(denoise_images(precise_model, PROMPTS[:2], sampling, seeds, known))
    starts = mixed_start(known, seeds, random_start, mask_code, 24).tolist()
    for sample, prompt in enumerate(PROMPTS[:2]):
        expected = naive.decode_image(
            precise_model,
            prompt,
            steps=steps,
            guidance_scale=guidance,
            token_temperature=1.0,
            reveal_order=reveal_order,
            seed=seeds[sample],
            known=known[sample].tolist(),
            start=starts[sample],
            revise_below=revise_below,
        )
        assert [step.codes[sample].tolist() for step in drawn] == expected[1:]
    plain = ImageSampling(steps, reveal_order=reveal_order)
    counts = [(step.codes == mask_code).sum(1).tolist() for step in drawn]
    usual = denoise_images(precise_model, PROMPTS[:2], plain, seeds, known)
    assert counts == [(step.codes == mask_code).sum(1).tolist() for step in usual]


def test_a_mixed_start_shows_as_many_random_codes_as_asked_for():
    codes = torch.full((300, 40), 24)
    codes[:, :10] = 7
    shown = mixed_start(codes, range(300), 0.3, 24, 24)
    assert (shown[:, :10] == 7).all()
    random = shown[:, 10:] != 24
    assert float(random.double().mean()) == pytest.approx(0.3, abs=0.02)
    counts = torch.bincount(shown[:, 10:][random], minlength=24)
    assert counts.min() > 0.6 * counts.double().mean()
    assert torch.equal(mixed_start(codes[5:6], [5], 0.3, 24, 24), shown[5:6])


@pytest.mark.parametrize("weights", ["random", "trained"])
def test_sampled_as_naive_in_single_precision(model, trained, weights):
    network = model if weights == "random" else trained
    generator = torch.Generator().manual_seed(4)
    text_size = network.vocabulary.text_size
    prompts = [
        torch.randint(1, text_size, (length,), generator=generator).tolist()
        for length in (0, 9, 3, 1)
    ]
    options = {
        "guidance_scale": 1.5,
        "token_temperature": 1.0,
        "confidence_temperature": 2.0,
        "top_k": 20,
    }
    found = states(network, prompts, ImageSampling(6, **options), [7, 8, 9, 10])
    for sample, prompt in enumerate(prompts):
        expected = naive.decode_image(network, prompt, steps=6, seed=7 + sample, **options)
        assert found[sample].tolist() == expected


def test_as_naive_with_any_number_of_steps(precise_model):
    for steps in range(1, precise_model.config.image_tokens + 1):
        found = states(precise_model, [[5, 6]], ImageSampling(steps))
        assert found[0].tolist() == naive.decode_image(precise_model, [5, 6], steps=steps)


def test_steps_report_what_they_revealed(model):
    mask_code = model.vocabulary.mask_code
    before = torch.full((1, 16), mask_code)
    for index, step in enumerate(denoise_images(model, [[1]], ImageSampling(5)), start=1):
        assert step.index == index
        assert step.logits.shape == (1, 16, 24)
        assert step.logits.dtype == torch.float32
        assert torch.equal(step.revealed, (before == mask_code) & (step.codes != mask_code))
        kept = before != mask_code
        assert torch.equal(step.codes[kept], before[kept]), "revealed tokens stay"
        before = step.codes
    assert (before < 24).all()
