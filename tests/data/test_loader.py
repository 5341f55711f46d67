from typing import Any

import pytest
import torch
from lightning.fabric.utilities.types import _Stateful

from showo_turbo.data import (
    JoinedBatchSampler,
    JoinedDataset,
    LoaderOptions,
    ResumableLoader,
    StreamDataset,
)
from showo_turbo.errors import UserError


class Numbers(StreamDataset):
    def __init__(self, damaged: int = -1) -> None:
        self.damaged = damaged

    def __len__(self) -> int:
        return 10

    def draw(self, index: int, seed: int) -> dict[str, Any]:
        if index == self.damaged:
            raise UserError(f"sample {index} is damaged; remove it")
        return {"number": torch.tensor(index), "seed": seed}


def make(stream: StreamDataset | None = None, num_workers: int = 0) -> ResumableLoader:
    dataset = JoinedDataset({"numbers": stream or Numbers()})
    sampler = JoinedBatchSampler({"numbers": 10}, {"numbers": 2}, primary="numbers")
    return ResumableLoader(dataset, sampler, LoaderOptions(num_workers=num_workers))


def numbers(batches: Any) -> list[int]:
    return [number for batch in batches for number in batch["numbers"]["number"].tolist()]


def test_an_epoch_has_every_sample() -> None:
    loader = make()
    assert len(loader) == 5
    assert sorted(numbers(loader)) == list(range(10))


def test_the_next_iteration_is_the_next_epoch() -> None:
    loader = make()
    first, second = numbers(loader), numbers(loader)
    assert loader.sampler.epoch == 1
    assert first != second and sorted(second) == list(range(10))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_workers_asking_ahead_do_not_move_the_position(num_workers: int) -> None:
    expected = numbers(make())
    loader = make(num_workers=num_workers)
    iterator = iter(loader)
    seen = numbers([next(iterator), next(iterator)])
    state = loader.state_dict()
    assert state["consumed"] == {"numbers": 4}

    resumed = make(num_workers=num_workers)
    resumed.load_state_dict(state)
    assert len(resumed) == 5
    assert seen + numbers(resumed) == expected
    assert sorted(numbers(resumed)) == list(range(10))  # the next epoch, with the same workers


def test_nothing_is_loaded_before_the_first_batch() -> None:
    loader = make()
    iterator = iter(loader)
    loader.sampler.set_epoch(3)
    first = next(iterator)
    other = make()
    other.sampler.set_epoch(3)
    assert numbers([first]) == numbers(other)[:2]


def test_the_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    numbers(make())
    assert torch.equal(torch.get_rng_state(), before)


def test_lightning_takes_it_for_stateful() -> None:
    loader = make()
    assert isinstance(loader, _Stateful)
    assert callable(loader.sampler.set_epoch)


@pytest.mark.bad_input
@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_damaged_sample_is_reported_in_one_line(num_workers: int) -> None:
    with pytest.raises(UserError, match=r"^sample 3 is damaged"):
        numbers(make(Numbers(damaged=3), num_workers=num_workers))
