"""Options of parallel denoising, by hand, and those that are out of range."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.sampling.image_sampling import ImageSampling, SamplingChanges
from showo_turbo.sampling.parallel import (
    decode_image_codes,
    draw_tokens,
    reveal_surest,
)

from .denoised_states import states

PROMPTS = [[], [3], [1, 2, 3, 4, 5, 6, 7], [28, 4]]


@pytest.mark.bad_input
@pytest.mark.parametrize("name", ["random_start", "revise_below"])
def test_shares_and_probabilities(precise_model, name):
    with pytest.raises(UserError, match=rf"{name} is 1\.5"):
        ImageSampling(2, **{name: 1.5}).check(precise_model.config)


def test_guidance_changes_evenly():
    changing = ImageSampling(5, guidance_scale=1.0, guidance_end=3.0)
    assert [changing.guidance_at(step) for step in range(1, 6)] == [1.0, 1.5, 2.0, 2.5, 3.0]
    constant = ImageSampling(3, guidance_scale=2.0)
    assert [constant.guidance_at(step) for step in (1, 2, 3)] == [2.0, 2.0, 2.0]
    assert ImageSampling(1, guidance_scale=2.0, guidance_end=0.0).guidance_at(1) == 2.0
    assert ImageSampling(2, guidance_end=1.0).guided
    assert not ImageSampling(2, guidance_end=0.0).guided


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
