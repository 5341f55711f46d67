"""Trajectories that are known outside of a box, by hand."""

from collections import Counter

import pytest
import torch

from showo_turbo.data.trajectory_streams import ImageTrajectoryStream
from showo_turbo.errors import UserError
from showo_turbo.trajectories import (
    PartlyKnown,
    SamplerDraws,
    StoreIdentity,
    TrajectoryStore,
    collate_image_trajectories,
)
from showo_turbo.trajectories.partly_known import known_outside, random_box
from showo_turbo.trajectories.shards import pack_images
from showo_turbo.utils.random import stateless_seed

from .conftest import random_image_record

M = 24


def made_record(seed=0):
    """3 x 3 tokens in four steps, two segments."""
    record = random_image_record(seed, steps=4, segments=2, tokens=9)
    record.codes = torch.arange(1, 10).short()
    reveal_step = torch.tensor([1, 2, 3, 4, 1, 2, 3, 4, 1]).short()
    # As many rows at the end of the first segment as there are tokens that come later.
    later = int((reveal_step > 2).sum())
    record.boundary_top_ids = record.top_ids[:later]
    record.boundary_top_log_probs = record.top_log_probs[:later]
    record.reveal_step = reveal_step
    return record


BOX = torch.tensor([0, 1, 1, 0, 1, 1, 0, 0, 0], dtype=torch.bool)
"""The upper right 2 x 2 tokens, revealed in the steps 2, 3, 1 and 2."""


def test_states_by_hand():
    record = known_outside(made_record(), BOX)
    assert record.state(0, M).tolist() == [1, M, M, 4, M, M, 7, 8, 9]
    assert record.state(1, M).tolist() == [1, M, M, 4, 5, M, 7, 8, 9]
    assert record.state(2, M).tolist() == [1, 2, M, 4, 5, 6, 7, 8, 9]
    assert record.state(3, M).tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_what_is_trained_on_by_hand():
    record = known_outside(made_record(), BOX)
    batch = collate_image_trajectories([record] * 3, [0, 1, 2], segments=2, mask_code=M)
    assert batch.masked_k.long().tolist() == [
        [0, 1, 1, 0, 1, 1, 0, 0, 0],
        [0, 1, 1, 0, 0, 1, 0, 0, 0],
        [0, 0, 1, 0, 0, 0, 0, 0, 0],
    ]
    # The first segment ends with state 2; in the last one state 3 is the target, which is complete.
    assert batch.masked_t.long().tolist() == [[0, 0, 1] + [0] * 6] * 2 + [[0] * 9]
    assert batch.state_t[0].tolist() == [1, 2, M, 4, 5, 6, 7, 8, 9]
    assert batch.codes.tolist() == [list(range(1, 10))] * 3
    # The label is the picture, of the token that is revealed after its segment, too.
    assert torch.equal(batch.q_ids[..., 0][batch.masked_k], batch.codes[batch.masked_k])
    probabilities = batch.q_log_probs[batch.masked_k].exp()
    assert probabilities.tolist() == [[1.0, 0.0, 0.0]] * 8


def test_the_record_itself_is_left_alone():
    record, same = made_record(), made_record()
    known_outside(record, BOX)
    for name in ("reveal_step", "top_ids", "top_log_probs", "boundary_top_ids"):
        assert torch.equal(getattr(record, name), getattr(same, name)), name


def test_boxes_of_all_sizes_everywhere():
    sizes, places = Counter(), torch.zeros(9)
    for number in range(4000):
        box = random_box(3, stateless_seed(number)).reshape(3, 3)
        rows, columns = box.any(dim=1), box.any(dim=0)
        assert torch.equal(box, rows[:, None] & columns), "it is a box"
        for line in (rows, columns):
            first, last = line.nonzero()[0], line.nonzero()[-1]
            assert line[first : last + 1].all(), "without gaps"
        sizes[int(rows.sum()), int(columns.sum())] += 1
        places += box.flatten()
    assert sizes.keys() == {(r, c) for r in (1, 2, 3) for c in (1, 2, 3)} - {(3, 3)}
    assert all(abs(count / 4000 - 1 / 8) < 0.02 for count in sizes.values())
    assert places.min() > 0


def stream(folder, share, **options):
    store = TrajectoryStore.create_or_continue(
        folder,
        StoreIdentity("images", "t", "p", 2, 2, {"sampling.sampling_steps": 4, "segments": 2}),
    )
    store.write_shard(0, pack_images([made_record(0), made_record(1)], 9), samples=2)
    store.finish()
    return ImageTrajectoryStream(folder, M, 2, partly_known=PartlyKnown(share), **options)


def test_samples_have_something_to_learn(tmp_path):
    always = stream(tmp_path / "always", 1.0)
    for draws in (always.draws, SamplerDraws()):
        always.draws = draws
        items = [always.draw(seed % 2, stateless_seed(seed)) for seed in range(200)]
        batch = always.collate(items)
        assert batch.masked_k.any(dim=1).all() and not batch.masked_k.all(dim=1).any()
        assert {item[1] for item in items} == {0, 1, 2, 3}
    again = always.draw(1, stateless_seed(7))
    assert torch.equal(again[0].reveal_step, always.draw(1, stateless_seed(7))[0].reveal_step)


def test_as_many_samples_as_asked_for(tmp_path):
    never, often = stream(tmp_path / "never", 0.0), stream(tmp_path / "often", 0.3)
    seeds = [stateless_seed(number) for number in range(1000)]
    assert all(never.draw(0, seed)[0].reveal_step.min() == 1 for seed in seeds)
    known = [int(often.draw(0, seed)[0].reveal_step.min()) == 0 for seed in seeds]
    assert abs(sum(known) / 1000 - 0.3) < 0.05
    # Samples that are not partly known are those of a stream without the option.
    places = [seed for seed, partly in zip(seeds, known, strict=True) if not partly]
    assert all(never.draw(0, seed)[1] == often.draw(0, seed)[1] for seed in places)


@pytest.mark.bad_input
@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_out_of_range(share):
    with pytest.raises(UserError, match=rf"share of partly_known is {share}"):
        PartlyKnown(share)
