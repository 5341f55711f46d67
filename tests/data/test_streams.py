from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
import torch

from showo_turbo.data import JoinedDataset, SampleKey, SingleStream, StreamDataset
from showo_turbo.data.bad_samples import refuse
from showo_turbo.data.streams import stack_items
from showo_turbo.errors import BadSample, UserError


class Numbers(StreamDataset):
    def __len__(self) -> int:
        return 6

    def draw(self, index: int, seed: int) -> dict[str, Any]:
        if index == 4:
            raise BadSample("sample 4 is damaged; remove it")
        if index == 5:
            raise UserError("the file is gone; restore it")
        return {"number": torch.tensor([index]), "seed": seed}


class Pair(NamedTuple):
    numbers: list[int]


class OwnCollate:
    def __len__(self) -> int:
        return 3

    def draw(self, index: int, seed: int) -> int:
        return index

    def collate(self, items: Sequence[int]) -> Pair:
        return Pair(list(items))


def test_a_batch_has_a_part_of_each_stream() -> None:
    dataset = JoinedDataset({"a": Numbers(), "b": OwnCollate()})
    loaded = dataset[[SampleKey("a", 3, 70), SampleKey("b", 2, 0), SampleKey("a", 0, 71)]]
    batch = loaded.good(refuse)
    assert batch["a"]["number"].tolist() == [[3], [0]]
    assert batch["a"]["seed"] == [70, 71]
    assert batch["b"] == Pair([2])


@pytest.mark.bad_input
class TestBadSamples:
    """A bad sample is left out where that is allowed; nothing takes its place."""

    def test_of_a_joined_batch(self) -> None:
        dataset = JoinedDataset({"a": Numbers(), "b": OwnCollate()})
        keys = [SampleKey("a", 0, 0), SampleKey("a", 4, 0), SampleKey("b", 1, 0)]
        skipped: list[BadSample] = []
        batch = dataset[keys].good(skipped.append)
        assert batch["a"]["number"].tolist() == [[0]] and batch["b"] == Pair([1])
        assert [str(error) for error in skipped] == ["sample 4 is damaged; remove it"]
        with pytest.raises(BadSample, match="sample 4"):
            dataset[keys].good(refuse)

    def test_of_a_whole_stream(self) -> None:
        dataset = JoinedDataset({"a": Numbers(), "b": OwnCollate()})
        batch = dataset[[SampleKey("a", 4, 0), SampleKey("b", 1, 0)]].good(lambda error: None)
        assert batch == {"b": Pair([1])}

    def test_of_an_evaluation_batch(self) -> None:
        single = SingleStream("numbers", Numbers())
        loaded = single.collate([single[1], single[4], single[2]])
        batch = loaded.good(lambda error: None)
        assert batch["numbers"]["index"] == [1, 2]
        with pytest.raises(BadSample, match="sample 4"):
            loaded.good(refuse)

    def test_a_batch_without_a_good_sample_ends_the_run(self) -> None:
        loaded = JoinedDataset({"a": Numbers()})[[SampleKey("a", 4, 0)]]
        with pytest.raises(UserError, match="all 1 samples of a batch are bad"):
            loaded.good(lambda error: None)
        single = SingleStream("numbers", Numbers())
        with pytest.raises(UserError, match="all 1 samples of a batch are bad"):
            single.collate([single[4]]).good(lambda error: None)

    def test_other_mistakes_are_never_passed_over(self) -> None:
        loaded = JoinedDataset({"a": Numbers()})[[SampleKey("a", 0, 0), SampleKey("a", 5, 0)]]
        with pytest.raises(UserError, match="the file is gone"):
            loaded.good(lambda error: None)
        single = SingleStream("numbers", Numbers())
        with pytest.raises(UserError, match="the file is gone"):
            single.collate([single[1], single[5]]).good(lambda error: None)


def test_a_single_stream_has_fixed_seeds_and_indices() -> None:
    single = SingleStream("numbers", Numbers())
    batch = single.collate([single[1], single[2]]).good(refuse)
    assert batch["numbers"]["number"].tolist() == [[1], [2]]
    assert batch["numbers"]["seed"] == batch["numbers"]["index"] == [1, 2]
    with pytest.raises(IndexError):
        single[6]


def test_tensors_are_stacked_and_the_rest_is_listed() -> None:
    batch = stack_items([{"x": torch.zeros(2), "y": "a"}, {"x": torch.ones(2), "y": "b"}])
    assert batch["x"].shape == (2, 2) and batch["y"] == ["a", "b"]
