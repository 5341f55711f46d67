from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showo_turbo.errors import UserError
from showo_turbo.trajectories import SamplerDraws, UniformDraws
from showo_turbo.utils.random import stateless_seed

MASKED = [36, 34, 31, 27, 22, 16, 9, 4]  # of the states 0 .. 7
SEEDS = [stateless_seed(number) for number in range(20_000)]


def shares(draws):
    counts = Counter(draws.draw(MASKED, seed) for seed in SEEDS)
    return [counts[k] / len(SEEDS) for k in range(8)]


def test_uniform_draws_are_the_seed_s_remainder():
    assert [UniformDraws().draw(MASKED, seed) for seed in (0, 7, 8, 2**63 - 1)] == [0, 7, 0, 7]


def test_the_first_state_is_drawn_more_often_if_asked_for():
    expected = [0.2 + 0.8 / 8] + [0.8 / 8] * 7
    assert shares(UniformDraws(first=0.2)) == pytest.approx(expected, abs=0.015)


def test_sampler_draws_by_hand():
    # Linear: before their steps, a sampler of two has 36 and 18 masked, one of four 36, 27, 18, 9.
    draws = SamplerDraws(share=0.5, steps={2: 3.0, 4: 1.0}, mask_schedule="linear")
    of_two, of_four = 0.5 * 0.75 / 2, 0.5 * 0.25 / 4
    expected = [0.5 / 8] * 8
    expected[0] += of_two + of_four
    expected[3] += of_four
    expected[5] += of_two + of_four  # 16 is nearer to 18 than 22 is
    expected[6] += of_four
    assert shares(draws) == pytest.approx(expected, abs=0.015)


def test_all_draws_of_a_one_step_sampler_are_fully_masked():
    assert shares(SamplerDraws(share=1.0, steps={1: 1.0})) == [1.0] + [0.0] * 7


@given(st.integers(0, 2**63 - 1), st.lists(st.integers(1, 64), min_size=1, max_size=32))
def test_every_draw_is_a_state_and_a_function_of_its_arguments(seed, masked):
    masked = sorted(masked, reverse=True)
    for draws in (UniformDraws(first=0.3), SamplerDraws(mask_schedule="pow")):
        k = draws.draw(masked, seed)
        assert 0 <= k < len(masked)
        assert k == draws.draw(masked, seed)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UniformDraws(first=1.5), "first is 1.5"),
        (lambda: SamplerDraws(share=-0.1), "share is -0.1"),
        (lambda: SamplerDraws(steps={}), r"steps is \{\}"),
        (lambda: SamplerDraws(steps={0: 1.0}), "steps is"),
        (lambda: SamplerDraws(steps={1: 0.0}), "all weights of steps are 0"),
        (lambda: SamplerDraws(mask_schedule="cubic"), "'cubic' is unknown"),
    ],
)
def test_draws_out_of_range_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
