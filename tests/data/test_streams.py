from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
import torch

from showo_turbo.data import JoinedDataset, SampleKey, SingleStream, StreamDataset
from showo_turbo.data.streams import stack_items
from showo_turbo.errors import UserError


class Numbers(StreamDataset):
    def __len__(self) -> int:
        return 5

    def draw(self, index: int, seed: int) -> dict[str, Any]:
        if index == 4:
            raise UserError("sample 4 is damaged; remove it")
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
    batch = dataset[[SampleKey("a", 3, 70), SampleKey("b", 2, 0), SampleKey("a", 0, 71)]]
    assert isinstance(batch, dict)
    assert batch["a"]["number"].tolist() == [[3], [0]]
    assert batch["a"]["seed"] == [70, 71]
    assert batch["b"] == Pair([2])


def test_a_mistake_in_the_data_is_returned() -> None:
    batch = JoinedDataset({"a": Numbers()})[[SampleKey("a", 0, 0), SampleKey("a", 4, 0)]]
    assert isinstance(batch, UserError) and "sample 4" in str(batch)


def test_a_single_stream_has_fixed_seeds_and_indices() -> None:
    single = SingleStream("numbers", Numbers())
    batch = single.collate([single[1], single[2]])
    assert batch["numbers"]["number"].tolist() == [[1], [2]]
    assert batch["numbers"]["seed"] == batch["numbers"]["index"] == [1, 2]
    with pytest.raises(IndexError):
        single[5]


def test_tensors_are_stacked_and_the_rest_is_listed() -> None:
    batch = stack_items([{"x": torch.zeros(2), "y": "a"}, {"x": torch.ones(2), "y": "b"}])
    assert batch["x"].shape == (2, 2) and batch["y"] == ["a", "b"]
