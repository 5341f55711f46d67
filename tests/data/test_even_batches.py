from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showo_turbo.data import JoinedBatchSampler, SampleKey
from showo_turbo.data.even_batches import evenly_divided
from showo_turbo.errors import UserError

LENGTHS = [5 + 7 * (index * index % 13) for index in range(48)]


def rectangle(lengths: Sequence[int], batch: Sequence[int]) -> int:
    """Tokens of a batch, its samples padded to the longest."""
    return len(batch) * max(lengths[place] for place in batch)


def all_divisions(places: list[int], batches: int) -> Iterator[list[list[int]]]:
    """Every way to divide samples into so many batches, or fewer."""
    if not places:
        yield []
        return
    first, *others = places
    for division in all_divisions(others, batches):
        for number, batch in enumerate(division):
            yield [*division[:number], [first, *batch], *division[number + 1 :]]
        if len(division) < batches:
            yield [[first], *division]


@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    batches=st.integers(1, 4),
)
def test_the_largest_batch_is_as_small_as_possible(lengths: list[int], batches: int) -> None:
    batches = min(batches, len(lengths))
    divided = evenly_divided(lengths, batches)
    assert len(divided) == batches
    assert sorted(place for batch in divided for place in batch) == list(range(len(lengths)))
    largest = max(rectangle(lengths, batch) for batch in divided)
    assert largest == min(
        max(rectangle(lengths, batch) for batch in division)
        for division in all_divisions(list(range(len(lengths))), batches)
    )


def make(**changes: Any) -> JoinedBatchSampler:
    arguments: dict[str, Any] = {
        "sizes": {"image": 48, "text": 48},
        "batch_sizes": {"image": 4, "text": 4},
        "primary": "image",
        "seed": 1,
        "lengths": {"text": LENGTHS},
        "even_batches": 4,
    }
    return JoinedBatchSampler(**arguments | changes)


def texts(sampler: JoinedBatchSampler, count: int | None = None) -> list[list[SampleKey]]:
    """The texts of each batch, which are handed out."""
    found = []
    for batch in islice(sampler, count):
        sampler.advance()
        found.append([key for key in batch if key.stream == "text"])
    return found


def indices(batches: Sequence[Sequence[SampleKey]]) -> list[list[int]]:
    return [[key.index for key in batch] for batch in batches]


def test_batches_have_as_many_tokens_and_every_sample_comes_once() -> None:
    even, plain = texts(make()), texts(make(even_batches=1))
    assert sorted(chain(*indices(even))) == list(range(48))
    sizes = [[rectangle(LENGTHS, batch) for batch in indices(found)] for found in (even, plain)]
    assert max(sizes[0]) < 0.9 * max(sizes[1])
    assert sum(sizes[0]) < sum(sizes[1])
    for start in range(0, 12, 4):  # one batch of a window may be left small
        small, *others = sorted(sizes[0][start : start + 4])
        assert others[0] > 0.6 * others[-1] >= 0.6 * small
    # The samples of a window are those that come without evening, with the same seeds.
    for start in range(0, 12, 4):
        window = [
            sorted(chain(*found[start : start + 4]), key=lambda key: key.index)
            for found in (even, plain)
        ]
        assert window[0] == window[1]


def test_long_samples_do_not_always_come_last() -> None:
    first = [max(LENGTHS[i] for i in batch) for batch in indices(texts(make()))]
    assert first not in (sorted(first), sorted(first, reverse=True))


@pytest.mark.parametrize("consumed", [1, 3, 4, 7])
def test_a_resumed_epoch_goes_on_in_the_middle_of_a_window(consumed: int) -> None:
    whole, begun, resumed = texts(make()), make(), make()
    texts(begun, consumed)
    resumed.load_state_dict(begun.state_dict())
    assert texts(resumed) == whole[consumed:]


def test_ranks_share_the_batches_of_one_order() -> None:
    alone = texts(make())
    ranks = [texts(make(rank=rank, world_size=2)) for rank in range(2)]
    assert [batch for pair in zip(*ranks, strict=True) for batch in pair] == alone


def test_resumed_on_more_ranks_no_sample_of_the_epoch_is_lost() -> None:
    begun = make()
    seen = texts(begun, 4)
    ranks = [make(rank=rank, world_size=2) for rank in range(2)]
    for rank in ranks:
        rank.load_state_dict(begun.state_dict())
        seen += texts(rank)
    assert sorted(chain(*indices(seen))) == list(range(48))


def test_an_epoch_ends_with_a_shorter_window() -> None:
    batches = texts(make(samples_per_epoch=21))  # 6 batches: a window of 4, and one of 2
    assert len(batches) == 6
    assert len(set(chain(*indices(batches)))) == 24


def test_streams_of_one_length_come_as_they_are() -> None:
    images = [[k for k in batch if k.stream == "image"] for batch in make()]
    assert images == [[k for k in batch if k.stream == "image"] for batch in make(even_batches=1)]


def test_a_window_below_1_is_an_error() -> None:
    with pytest.raises(UserError, match="even_batches is 0"):
        make(even_batches=0)
