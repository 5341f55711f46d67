from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showo_turbo.data import JoinedBatchSampler, SampleKey
from showo_turbo.errors import UserError

SIZES = {"image": 23, "text": 7, "language": 400}
BATCH_SIZES = {"image": 4, "text": 2, "language": 1}


def make(**changes: Any) -> JoinedBatchSampler:
    arguments: dict[str, Any] = {
        "sizes": SIZES,
        "batch_sizes": BATCH_SIZES,
        "primary": "image",
        "seed": 1,
    }
    return JoinedBatchSampler(**arguments | changes)


def consume(sampler: JoinedBatchSampler, count: int | None = None) -> Iterator[list[SampleKey]]:
    """What a loader does: hand out batches and count them."""
    for batch in islice(sampler, count):
        sampler.advance()
        yield batch


def global_order(
    ranks: list[JoinedBatchSampler], count: int | None = None
) -> dict[str, list[SampleKey]]:
    """What all ranks consume together, stream by stream in the global order."""
    order: dict[str, list[SampleKey]] = {name: [] for name in ranks[0].sizes}
    for batches in zip(*(consume(rank, count) for rank in ranks), strict=True):
        for batch in batches:
            for key in batch:
                order[key.stream].append(key)
    return order


def world(size: int, **changes: Any) -> list[JoinedBatchSampler]:
    return [make(rank=rank, world_size=size, **changes) for rank in range(size)]


@given(
    size=st.integers(1, 60),
    batch_size=st.integers(1, 9),
    other=st.integers(1, 60),
    seed=st.integers(),
)
def test_every_sample_comes_once_a_pass(size: int, batch_size: int, other: int, seed: int) -> None:
    sampler = make(
        sizes={"image": size, "other": other},
        batch_sizes={"image": batch_size, "other": 3},
        seed=seed,
    )
    order = global_order([sampler])
    first_pass = [key.index for key in order["image"][:size]]
    assert sorted(first_pass) == list(range(size))
    for start in range(0, len(order["other"]) - other + 1, other):
        indices = [key.index for key in order["other"][start : start + other]]
        assert sorted(indices) == list(range(other))


def test_a_long_stream_goes_on_in_the_next_epoch() -> None:
    sampler = make()
    seen = []
    for epoch in range(60):
        sampler.set_epoch(epoch)
        # 6 batches of 4 images cover the 23 images of an epoch, which is 5.75 texts.
        seen += [key.index for key in global_order([sampler])["language"]][:5]
    assert max(Counter(seen).values()) == 1


def test_passes_and_epochs_have_different_orders_and_seeds() -> None:
    sampler = make()
    epochs = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        epochs.append(global_order([sampler]))
    assert len({tuple(key.index for key in order["image"]) for order in epochs}) == 3
    seeds = [key.seed for order in epochs for keys in order.values() for key in keys]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    other_seed = global_order([make(seed=2)])
    assert other_seed["image"] != epochs[0]["image"]


@given(world_size=st.integers(1, 5))
def test_ranks_share_one_order(world_size: int) -> None:
    alone = global_order([make()])
    shared = global_order(world(world_size))
    for name, keys in alone.items():
        count = min(len(keys), len(shared[name]))
        assert shared[name][:count] == keys[:count]
        assert len(shared[name]) >= len(keys)  # the last batch is completed


@given(
    epoch=st.integers(0, 3),
    before=st.integers(1, 4),
    batches=st.integers(0, 3),
    after=st.integers(1, 4),
    scale=st.sampled_from([1, 2, 3]),
)
def test_a_run_resumes_on_any_number_of_ranks(
    epoch: int, before: int, batches: int, after: int, scale: int
) -> None:
    reference = make()
    reference.set_epoch(epoch)
    expected = global_order([reference])

    first = world(before)
    for sampler in first:
        sampler.set_epoch(epoch)
    done = global_order(first, batches)
    states = [sampler.state_dict() for sampler in first]
    assert all(state == states[0] for state in states)

    second = world(after, batch_sizes={name: scale * size for name, size in BATCH_SIZES.items()})
    for sampler in second:
        sampler.load_state_dict(states[0])
    if second[0].epoch != epoch:
        assert len(done["image"]) >= SIZES["image"]
        return
    # Lightning goes on counting batches where it stopped.
    assert len(second[0]) == batches + len(list(second[0]))
    rest = global_order(second)
    for name, keys in expected.items():
        joined = done[name] + rest[name]
        count = min(len(keys), len(joined))
        assert joined[:count] == keys[:count]
    assert len(done["image"] + rest["image"]) >= SIZES["image"]


def test_asking_ahead_does_not_move_the_position() -> None:
    sampler = make()
    ahead = list(sampler)
    assert sampler.state_dict()["consumed"] == {"image": 0, "text": 0, "language": 0}
    assert list(consume(sampler, 2)) == ahead[:2]
    assert list(sampler) == ahead[2:]
    assert len(sampler) == len(ahead)


def test_a_complete_epoch_is_resumed_with_the_next() -> None:
    sampler = make()
    list(consume(sampler))
    resumed = make()
    resumed.load_state_dict(sampler.state_dict())
    assert (resumed.epoch, resumed.batches) == (1, 0)
    sampler.set_epoch(1)
    assert list(resumed) == list(sampler)


def test_the_epoch_can_be_set_again_without_going_back() -> None:
    sampler = make()
    batches = list(sampler)
    list(consume(sampler, 3))
    sampler.set_epoch(0)  # Lightning does so after a resume
    assert list(sampler) == batches[3:]


def test_the_length_of_an_epoch_can_be_chosen() -> None:
    assert len(make()) == 6  # 23 images in batches of 4
    assert len(make(samples_per_epoch=100)) == 25
    assert len(make(samples_per_epoch=100, world_size=2)) == 13
    assert len(make(samples_per_epoch=1)) == 1


def test_a_stream_smaller_than_a_batch_wraps_around() -> None:
    batch = next(iter(make(sizes={"image": 2}, batch_sizes={"image": 5})))
    assert sorted(key.index for key in batch[:2]) == [0, 1]
    assert sorted(key.index for key in batch[2:4]) == [0, 1]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"primary": "video"}, "primary stream 'video'"),
        ({"batch_sizes": {"image": 1}}, "expected the same names"),
        ({"sizes": SIZES | {"text": 0}}, "stream 'text' has 0 samples"),
        ({"batch_sizes": BATCH_SIZES | {"text": 0}}, "a batch size of 0"),
        ({"samples_per_epoch": 0}, "samples_per_epoch is 0"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(**changes)


@pytest.mark.bad_input
def test_a_state_of_another_order_is_refused() -> None:
    state = make().state_dict()
    with pytest.raises(UserError, match="has seed 1, but the data module has seed 2"):
        make(seed=2).load_state_dict(state)
    with pytest.raises(UserError, match="has the streams image, text, language"):
        make(sizes={"image": 5}, batch_sizes={"image": 1}).load_state_dict(state)
