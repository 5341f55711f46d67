import pickle

import pytest
import torch
from torch.utils.data import DataLoader

from showo_turbo.trajectories import (
    collate_image_trajectories,
    collate_text_trajectories,
    target_state,
)

from .conftest import random_image_record, text_record


def test_images_are_stacked_each_at_its_own_step():
    records = [random_image_record(seed) for seed in range(3)]
    steps = [0, 3, 7]
    batch = collate_image_trajectories(records, steps, segments=4, mask_code=24)
    for row, (record, k) in enumerate(zip(records, steps, strict=True)):
        target = target_state(k, 8, 4)
        assert batch.prompt_ids[row] == record.prompt_ids.tolist()
        assert torch.equal(batch.codes[row], record.codes.long())
        assert torch.equal(batch.state_k[row], record.state(k, 24))
        assert torch.equal(batch.state_k[row] == 24, batch.masked_k[row])
        assert torch.equal(batch.state_t[row], record.state(target, 24))
        assert torch.equal(batch.state_t[row] == 24, batch.masked_t[row])
        # M_t lies within M_k: the student predicts all that it is compared on.
        assert not (batch.masked_t[row] & ~batch.masked_k[row]).any()
        ids, log_probs = record.distribution(k, 4)
        assert torch.equal(batch.q_ids[row], ids)
        assert torch.equal(batch.q_log_probs[row], log_probs)
    assert batch.step.tolist() == steps
    assert batch.segment.tolist() == [0, 1, 3]
    assert batch.q_ids.dtype == batch.codes.dtype == torch.long
    assert batch.q_log_probs.dtype == torch.float32


def test_images_are_cut_into_fewer_segments_than_recorded():
    records = [random_image_record(seed) for seed in range(2)]
    batch = collate_image_trajectories(records, [1, 6], segments=2, mask_code=24)
    assert batch.segment.tolist() == [0, 1]
    assert torch.equal(batch.state_t[0], records[0].state(4, 24))
    assert torch.equal(batch.state_t[1], records[1].state(7, 24))
    assert torch.equal(batch.q_ids[0], records[0].distribution(1, 2)[0])


def test_image_records_and_steps_must_pair_up():
    with pytest.raises(ValueError, match="zip"):
        collate_image_trajectories([random_image_record()], [0, 1], segments=4, mask_code=24)


def test_all_blocks_of_answers_by_hand():
    other = text_record(answer=(5, 6, 7, 8, 9))
    other.prompt_ids = torch.tensor([3])
    batch = collate_text_trajectories([text_record(), other], [[0, 0], [1, 0]], segments=2)
    assert batch.answer.tolist() == [0, 0, 1, 1]
    assert batch.start.tolist() == [0, 4, 0, 4]
    # Three iterations in two segments end with iterates 1 and 3; one iteration with 1.
    assert batch.segment.tolist() == [0, 1, 1, 1]
    assert batch.step.tolist() == [0, 0, 1, 0]
    assert batch.tokens_k.tolist() == [[0, 0, 0, 0], [1, 1, 1, 1], [5, 0, 7, 0], [1, 1, 1, 1]]
    assert batch.tokens_e.tolist() == [[5, 0, 7, 0], [9, 29, 3, 3], [5, 6, 7, 8], [9, 29, 3, 3]]
    assert batch.fixed_point.tolist() == [[5, 6, 7, 8], [9, 29, 3, 3]] * 2
    assert batch.first_difference.tolist() == [0, 0, 1, 0]
    assert batch.valid.tolist() == [
        [True] * 4,
        [True, True, False, False],
        [True] * 4,
        [True, False, False, False],
    ]
    assert batch.differs.tolist() == [
        [True] * 4,
        [True, True, False, False],
        [False, True, True, True],  # position 2 agrees, but is predicted from one that does not
        [True, False, False, False],
    ]
    assert batch.answer_ids == [[5, 6, 7, 8, 9, 29], [5, 6, 7, 8, 9]]
    assert batch.prompt_ids == [[1, 2], [3]]
    assert batch.images.dtype == torch.long


def test_iterates_that_agree_have_no_first_difference():
    record = text_record()
    record.blocks[1] = record.blocks[1][[1, 1]]
    batch = collate_text_trajectories([record], [[0, 0]], segments=1)
    assert batch.first_difference.tolist() == [0, 4]
    assert not batch.differs[1].any()


def test_batches_pass_through_worker_processes_and_pinning_unchanged():
    batch = collate_image_trajectories([random_image_record()], [2], segments=4, mask_code=24)
    again = pickle.loads(pickle.dumps(batch))
    assert again.prompt_ids == batch.prompt_ids
    assert torch.equal(again.q_log_probs, batch.q_log_probs)
    [delivered] = DataLoader([batch], batch_size=None)
    assert type(delivered) is type(batch)
