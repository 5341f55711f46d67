import json
from dataclasses import asdict, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from showo_turbo.errors import UserError
from showo_turbo.models.showo import Showo
from showo_turbo.sampling.image_sampling import ImageSampling, SamplingChanges
from showo_turbo.sampling.noise import mixed_start
from showo_turbo.sampling.parallel import (
    decode_image_codes,
    denoise_images,
    draw_tokens,
    gives_one_image,
    reveal_surest,
)

from .. import naive
from ..tiny import golden_cases, golden_showo

PROMPTS = [[], [3], [1, 2, 3, 4, 5, 6, 7], [28, 4]]


@pytest.fixture(scope="module")
def trained():
    """The base model that ships with the package."""
    return Showo.from_pretrained("shapes").float().eval()


def states(model, prompts, sampling, seeds=None):
    """`(batch, steps + 1, image_tokens)`, the fully masked state first."""
    blank = torch.full((len(prompts), model.config.image_tokens), model.vocabulary.mask_code)
    steps = [step.codes for step in denoise_images(model, prompts, sampling, seeds)]
    return torch.stack([blank, *steps], dim=1)


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


def test_images_that_begin_at_random_differ_by_their_seeds(precise_model):
    sampling = ImageSampling(2, random_start=0.5)
    assert not gives_one_image(precise_model, sampling)
    first, second = states(precise_model, [[1], [1]], sampling, [0, 1])[:, -1]
    assert not torch.equal(first, second)


@pytest.mark.bad_input
@pytest.mark.parametrize("name", ["random_start", "revise_below"])
def test_shares_and_probabilities(precise_model, name):
    with pytest.raises(UserError, match=rf"{name} is 1\.5; it must be 0 to 1"):
        ImageSampling(2, **{name: 1.5}).check(16, 24)


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


def test_guidance_changes_evenly():
    changing = ImageSampling(5, guidance_scale=1.0, guidance_end=3.0)
    assert [changing.guidance_at(step) for step in range(1, 6)] == [1.0, 1.5, 2.0, 2.5, 3.0]
    constant = ImageSampling(3, guidance_scale=2.0)
    assert [constant.guidance_at(step) for step in (1, 2, 3)] == [2.0, 2.0, 2.0]
    assert ImageSampling(1, guidance_scale=2.0, guidance_end=0.0).guidance_at(1) == 2.0
    assert ImageSampling(2, guidance_end=1.0).guided
    assert not ImageSampling(2, guidance_end=0.0).guided


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


def test_top_k_of_one_is_greedy(model):
    greedy = decode_image_codes(model, PROMPTS, ImageSampling(4))
    drawn = decode_image_codes(
        model, PROMPTS, ImageSampling(4, token_temperature=1.0, top_k=1), [9] * 4
    )
    assert torch.equal(drawn, greedy)


class Fixed:
    """Random numbers that a test chooses, one for each of two tokens."""

    def __init__(self, *numbers):
        self.numbers = numbers

    def uniform(self):
        return torch.tensor([self.numbers])


@pytest.mark.parametrize(
    ("top_k", "uniform", "code", "probability"),
    [
        (None, 0.49, 0, 0.5),
        (None, 0.51, 2, 0.3),
        (None, 0.81, 3, 0.2),
        # Among the two likeliest: 0.5 / 0.8 = 0.625 and 0.3 / 0.8 = 0.375.
        (2, 0.61, 0, 0.5),
        (2, 0.64, 2, 0.3),
        (2, 0.99, 2, 0.3),
        ({2: 1, 4: 2}, 0.99, 2, 0.3),
        ({2: 1, 8: 2}, 0.99, 3, 0.2),
    ],
)
def test_a_drawn_code_is_as_sure_as_among_all_codes(top_k, uniform, code, probability):
    logits = torch.tensor([0.5, 0.0, 0.3, 0.2]).log().expand(1, 2, 4)
    sampling = ImageSampling(4, token_temperature=1.0, top_k=top_k)
    codes, confidence = draw_tokens(logits, sampling, Fixed(uniform, 0.0))
    assert codes.tolist() == [[code, 0]]
    torch.testing.assert_close(confidence.exp(), torch.tensor([[probability, 0.5]]))


def test_noise_on_the_order_by_hand():
    linear = ImageSampling(4, confidence_temperature=2.0)
    assert [linear.confidence_temperature_at(step) for step in (1, 2, 3, 4)] == [1.5, 1.0, 0.5, 0.0]
    compounding = ImageSampling(4, confidence_temperature=2.0, confidence_annealing="compounding")
    found = [compounding.confidence_temperature_at(step) for step in (1, 2, 3, 4)]
    assert found == [1.5, 0.75, 0.1875, 0.0]


def test_top_k_by_the_number_of_steps(model):
    by_steps = ImageSampling(4, token_temperature=1.0, top_k={2: 1, 4: 3})
    for steps, k in ((2, 1), (4, 3), (8, None)):
        found = states(model, PROMPTS, SamplingChanges(sampling_steps=steps).over(by_steps))
        plain = ImageSampling(steps, token_temperature=1.0, top_k=k)
        assert torch.equal(found, states(model, PROMPTS, plain))
        assert SamplingChanges(sampling_steps=steps).over(by_steps).resolved == plain
    assert by_steps == ImageSampling(**json.loads(json.dumps(asdict(by_steps))))
    assert len({by_steps, replace(by_steps), replace(by_steps, top_k=3)}) == 2


def test_of_equally_sure_tokens_the_earlier_is_revealed():
    unknown = torch.tensor([[True, True, False, True, True]])
    revealed = reveal_surest(torch.zeros(1, 5), unknown, torch.tensor([2]))
    assert revealed.tolist() == [[True, True, False, False, False]]


@pytest.mark.bad_input
class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"sampling_steps": 0}, "sampling_steps is 0; choose 1 to 16"),
            ({"sampling_steps": 17}, "sampling_steps is 17; choose 1 to 16"),
            ({"guidance_scale": -0.1}, "guidance_scale is -0.1; it must be 0 or more"),
            ({"top_k": 0}, "top_k is 0; choose 1 to 24"),
            ({"top_k": 25}, "top_k is 25; choose 1 to 24"),
            ({"token_temperature": -1.0}, "token_temperature is -1.0; it must be 0 or more"),
            ({"confidence_temperature": -1.0}, "confidence_temperature is -1.0; it must be"),
            ({"token_temperature": float("nan")}, "token_temperature is nan; it must be"),
            ({"guidance_end": -1.0}, "guidance_end is -1.0; it must be 0 or more"),
            ({"guidance_end": float("nan")}, "guidance_end is nan; it must be 0 or more"),
            ({"guidance_scale": float("inf")}, "guidance_scale is inf; it must be"),
            ({"mask_schedule": "square"}, "mask schedule 'square' is unknown"),
            ({"sampling_steps": 1, "mask_schedule": "square"}, "mask schedule 'square' is unknown"),
            ({"sampling_steps": 2.0}, "sampling_steps is 2.0; expected a whole number"),
            ({"top_k": 2.5}, "top_k is 2.5; expected a whole number"),
            ({"top_k": {2: 25}}, "top_k is 25; choose 1 to 24"),
            ({"top_k": {2: 2.5}}, "top_k is 2.5; expected a whole number"),
            ({"top_k": {2: None}}, "top_k at 2 sampling steps is null; leave 2 out"),
            ({"top_k": {17: 3}}, "top_k has the number of sampling steps 17; expected 1 to 16"),
            ({"top_k": {"two": 3}}, "top_k has the number of sampling steps 'two'; expected 1"),
            ({"confidence_annealing": "none"}, "confidence_annealing is 'none'; choose 'linear'"),
            ({"reveal_order": "hilbert"}, "reveal_order is 'hilbert'; choose 'confidence' or"),
            (
                {"reveal_order": "halton", "confidence_temperature": 2.0},
                "confidence_temperature is 2.0, but reveal_order 'halton' takes no noise; leave",
            ),
            ({"token_temperature": 1e-40}, "choose 0 for the likeliest, or at least 0.001"),
            ({"shared_noise_seed": -1}, "shared_noise_seed -1 is out of range"),
            (
                {"shared_noise_seed": 2**70},
                "shared_noise_seed 1180591620717411303424 is out of range",
            ),
        ],
    )
    def test_options(self, model, options, message):
        with pytest.raises(UserError, match=message):
            decode_image_codes(model, [[1]], ImageSampling(**{"sampling_steps": 2, **options}))

    def test_no_prompts(self, model):
        with pytest.raises(UserError, match="there are no prompts"):
            decode_image_codes(model, [], ImageSampling(2))

    def test_seeds_of_another_number(self, model):
        with pytest.raises(UserError, match="2 seeds for 1 prompt"):
            decode_image_codes(model, [[1]], ImageSampling(2), [1, 2])

    @pytest.mark.parametrize("seed", ["7", 7.0, True, torch.tensor(7)])
    def test_seeds_that_are_none(self, model, seed):
        with pytest.raises(UserError, match="expected a whole number"):
            decode_image_codes(model, [[1]], ImageSampling(2), [seed])


def test_another_guidance():
    changing = ImageSampling(5, guidance_scale=1.0, guidance_end=3.0)
    assert changing.with_guidance(2.0) == ImageSampling(5, guidance_scale=2.0, guidance_end=3.0)
    assert not changing.with_guidance(0.0).guided


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
