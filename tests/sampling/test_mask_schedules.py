import pytest
from hypothesis import given
from hypothesis import strategies as st

from showo_turbo.errors import UserError
from showo_turbo.sampling.mask_schedules import masked_share, tokens_left_masked

from .. import naive

SCHEDULES = ["cosine", "linear", "pow", "sigmoid"]


@pytest.mark.parametrize(
    ("schedule", "quarter", "half", "three_quarters"),
    [
        ("cosine", 0.9238795, 0.7071068, 0.3826834),
        ("linear", 0.75, 0.5, 0.25),
        ("pow", 0.9375, 0.75, 0.4375),
        # (s(3) - s(-1.5)) / (s(3) - s(-3)) with the logistic s
        ("sigmoid", 0.8508535, 0.5, 0.1491465),
    ],
)
def test_hand_values(schedule, quarter, half, three_quarters):
    found = [masked_share(ratio, schedule) for ratio in (0, 0.25, 0.5, 0.75, 1)]
    assert found == pytest.approx([1, quarter, half, three_quarters, 0], abs=1e-6)


def test_cosine_counts_of_the_published_sampler():
    """floor(256 cos(pi t / 32)) for the 16 steps at 256 px."""
    unknown, left = 256, []
    for step in range(1, 17):
        unknown = tokens_left_masked(step, 16, 256, unknown)
        left.append(unknown)
    assert left == [254, 251, 244, 236, 225, 212, 197, 181, 162, 142, 120, 97, 74, 49, 25, 0]


@given(st.integers(1, 400), st.floats(0, 1), st.sampled_from(SCHEDULES))
def test_steps_reveal_something_and_the_last_everything(tokens, share, schedule):
    steps = max(1, round(share * tokens))
    unknown = tokens
    for step in range(1, steps + 1):
        left = tokens_left_masked(step, steps, tokens, unknown, schedule)
        # A single token that is left early waits for the last step.
        assert left < unknown or (left == unknown == 1 and step < steps)
        assert left >= 1 or step == steps
        if left < unknown - 1 and left > 1:
            # Within one: floor() of the same number computed in two ways.
            assert abs(left - naive.masked_after(step, steps, tokens, schedule)) <= 1
        unknown = left
    assert unknown == 0


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from(SCHEDULES))
def test_the_masked_share_falls_from_one_to_zero(first, second, schedule):
    first, second = sorted((first, second))
    assert 1 >= masked_share(first, schedule) >= masked_share(second, schedule) >= 0


@pytest.mark.bad_input
def test_unknown_schedule():
    with pytest.raises(UserError, match="'square' is unknown"):
        masked_share(0.5, "square")
