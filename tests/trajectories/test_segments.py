import collections
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showo_turbo.errors import UserError
from showo_turbo.trajectories.segments import (
    check_segments,
    draw_step,
    iteration_segment,
    segment_end,
    segment_ends,
    segment_index,
    stateless_seed,
    target_state,
)

# (segments, steps a segment)
trajectories = st.tuples(st.integers(1, 12), st.integers(1, 12))


def test_sixteen_steps_in_four_segments():
    assert segment_ends(16, 4) == [4, 8, 12, 16]
    assert [segment_end(k, 16, 4) for k in (0, 3, 4, 15)] == [4, 4, 8, 16]
    assert [segment_index(k, 16, 4) for k in (0, 3, 4, 15)] == [0, 0, 1, 3]


def test_one_state_of_sixteen_is_its_own_target():
    targets = [target_state(k, 16, 4) for k in range(16)]
    assert targets == [4] * 4 + [8] * 4 + [12] * 4 + [15] * 4
    assert [k for k, target in enumerate(targets) if k == target] == [15]


@given(trajectories)
def test_segments_tile_the_trajectory(trajectory):
    segments, length = trajectory
    steps = segments * length
    ends = segment_ends(steps, segments)
    assert len(ends) == segments
    assert ends[-1] == steps
    for k in range(steps):
        end = segment_end(k, steps, segments)
        assert end == min(e for e in ends if e > k)
        assert ends[segment_index(k, steps, segments)] == end
        assert 1 <= end - k <= length


@pytest.mark.bad_input
@given(st.integers(1, 64), st.integers(-2, 80))
def test_segments_that_do_not_divide_are_refused_with_the_divisors(steps, segments):
    if segments >= 1 and steps % segments == 0:
        check_segments(steps, segments)
        return
    with pytest.raises(UserError) as error:
        segment_end(0, steps, segments)
    message = str(error.value)
    assert f"{segments} segments" in message
    assert f"{steps} steps" in message
    named = [int(number) for number in message.rsplit("from ", 1)[1].split(", ")]
    assert named == [d for d in range(1, steps + 1) if steps % d == 0]


@pytest.mark.bad_input
def test_no_steps_are_refused():
    with pytest.raises(UserError, match="steps is 0"):
        segment_ends(0, 1)


@pytest.mark.parametrize("k", [-1, 8, 9])
def test_states_that_start_no_step_are_refused(k):
    with pytest.raises(ValueError, match=f"k is {k}; expected 0 to 7"):
        segment_end(k, 8, 2)
    with pytest.raises(ValueError, match=f"k is {k}; expected 0 to 7"):
        iteration_segment(k, 8, 2)


@given(trajectories)
def test_iterations_that_divide_evenly_are_cut_like_steps(trajectory):
    segments, length = trajectory
    for k in range(segments * length):
        assert iteration_segment(k, segments * length, segments) == (
            segment_index(k, segments * length, segments),
            segment_end(k, segments * length, segments),
        )


@given(st.integers(1, 60), st.integers(1, 20))
def test_uneven_iterations_are_cut_as_documented(iterations, segments):
    ends = [iterations * (s + 1) // segments for s in range(segments)]
    lengths = [b - a for a, b in itertools.pairwise([0, *ends])]
    assert max(lengths) - min(lengths) <= 1
    for k in range(iterations):
        segment, end = iteration_segment(k, iterations, segments)
        assert end == min(e for e in ends if e > k)
        assert segment == ends.index(end)
    assert iteration_segment(iterations - 1, iterations, segments)[1] == iterations


@pytest.mark.bad_input
def test_no_text_segments_are_refused():
    with pytest.raises(UserError, match="0 text segments"):
        iteration_segment(0, 4, 0)


def test_draws_are_a_fixed_function_of_their_arguments():
    # These numbers must never change: a run that is resumed with a newer version relies on them.
    assert [draw_step(7, 2, index, 16) for index in range(8)] == [2, 6, 3, 13, 5, 3, 10, 8]
    assert draw_step(7, 2, 0, 16, stream="text") == 15


@given(st.integers(-(2**62), 2**62), st.integers(0, 1000), st.integers(0, 2**40))
def test_draws_are_in_range(seed, epoch, index):
    assert 0 <= draw_step(seed, epoch, index, 16) < 16
    assert draw_step(seed, epoch, index, 1) == 0
    assert 0 <= stateless_seed(seed, epoch, index) < 2**63


def test_draws_are_uniform_and_change_with_each_argument():
    counts = collections.Counter(draw_step(0, 0, index, 16) for index in range(16_000))
    assert len(counts) == 16
    # Four standard deviations of a binomial count with mean 1,000.
    assert max(abs(count - 1000) for count in counts.values()) < 4 * 31
    base = [draw_step(0, 0, index, 16) for index in range(100)]
    for other in (
        [draw_step(1, 0, index, 16) for index in range(100)],
        [draw_step(0, 1, index, 16) for index in range(100)],
        [draw_step(0, 0, index + 1, 16) for index in range(100)],
        [draw_step(0, 0, index, 16, stream="text") for index in range(100)],
    ):
        assert sum(a == b for a, b in zip(base, other, strict=True)) < 25


def test_nothing_to_draw_from_is_refused():
    with pytest.raises(ValueError, match="steps is 0"):
        draw_step(0, 0, 0, 0)
