import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from showo_turbo.errors import UserError
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.trajectories import ImageCollection, segment_end, segment_ends
from showo_turbo.trajectories.image_collector import record_images
from showo_turbo.trajectories.record import kept_mass, settled_iterates

from .conftest import random_image_record, text_record


def test_states_follow_from_codes_and_reveal_steps():
    record = random_image_record(steps=4, segments=2, tokens=4)
    record.codes = torch.tensor([3, 1, 4, 1], dtype=torch.int16)
    record.reveal_step = torch.tensor([2, 1, 4, 2], dtype=torch.int16)
    assert record.state(0, 9).tolist() == [9, 9, 9, 9]
    assert record.state(1, 9).tolist() == [9, 1, 9, 9]
    assert record.state(2, 9).tolist() == [3, 1, 9, 1]
    assert record.state(3, 9).tolist() == [3, 1, 9, 1]
    assert record.state(4, 9).tolist() == [3, 1, 4, 1]
    assert record.state(0, 9).dtype == torch.long


@given(st.integers(0, 2**31), st.sampled_from([(8, 1), (8, 2), (8, 4), (8, 8), (6, 3)]))
def test_distribution_is_that_of_the_reveal_or_of_the_segment_s_last_step(seed, cut):
    steps, segments = cut
    record = random_image_record(seed, steps, segments)
    # The packed rows, found by counting instead of by slicing.
    places = [
        (end, position)
        for end in segment_ends(steps, segments)[:-1]
        for position in range(16)
        if record.reveal_step[position] > end
    ]
    assert len(places) == len(record.boundary_top_ids)
    for k in range(steps):
        end = segment_end(k, steps, segments)
        ids, log_probs = record.distribution(k, segments)
        for position in record.masked(k).nonzero()[:, 0].tolist():
            if record.reveal_step[position] <= end:
                expected = record.top_ids[position], record.top_log_probs[position]
            else:
                row = places.index((end, position))
                expected = record.boundary_top_ids[row], record.boundary_top_log_probs[row]
            assert torch.equal(ids[position], expected[0].long())
            assert torch.equal(log_probs[position], expected[1].float())


def test_distributions_are_copies():
    record = random_image_record()
    before = record.top_log_probs.clone()
    record.distribution(0, 4)[1].zero_()
    assert torch.equal(record.top_log_probs, before)


def test_kept_mass_is_the_probability_of_the_kept_codes():
    log_probs = torch.tensor([[0.5, 0.25], [0.9, 0.05]]).log().half()
    torch.testing.assert_close(kept_mass(log_probs), torch.tensor([0.75, 0.95]), atol=1e-3, rtol=0)
    assert kept_mass(torch.zeros(1, 1).half()).item() == 1.0


def test_the_last_block_of_a_text_is_valid_up_to_its_end():
    record = text_record()
    assert record.block_size == 4
    assert [record.valid_length(index) for index in (0, 1)] == [4, 2]


@pytest.mark.parametrize(
    ("valid_length", "kept"),
    [
        (1, 2),  # settled at once
        (2, 3),
        (3, 5),  # all of it
    ],
)
def test_iterates_after_the_answer_has_settled_are_dropped(valid_length, kept):
    iterates = torch.tensor([[0, 0, 0], [5, 0, 0], [5, 6, 0], [5, 6, 1], [5, 6, 7], [5, 6, 7]])
    assert torch.equal(settled_iterates(iterates, valid_length), iterates[:kept])


def test_a_start_that_is_right_by_chance_keeps_one_iteration():
    iterates = torch.tensor([[5, 6], [5, 6]])
    assert torch.equal(settled_iterates(iterates, 2), iterates)


@pytest.mark.parametrize("segments", [1, 2, 4, 8])
def test_fewer_segments_find_what_would_have_been_recorded_for_them(teacher, prompts, segments):
    sampling = ImageSampling(sampling_steps=8, guidance_scale=1.5)
    many, few = (
        record_images(
            teacher,
            prompts[:3],
            ImageCollection(sampling, segments=recorded, topk_targets=5),
        )
        for recorded in (8, segments)
    )
    for one, other in zip(many, few, strict=True):
        for k in range(8):
            ids, log_probs = one.distribution(k, segments)
            expected_ids, expected_log_probs = other.distribution(k, segments)
            masked = one.masked(k)
            assert torch.equal(ids[masked], expected_ids[masked])
            assert torch.equal(log_probs[masked], expected_log_probs[masked])


@pytest.mark.parametrize("segments", [0, 3, 8])
def test_other_segments_were_not_recorded(segments):
    record = random_image_record(steps=8, segments=4)
    with pytest.raises(UserError, match=rf"{segments} segments .* expected one of 1, 2, 4, since"):
        record.distribution(0, segments)
