"""The samples that each process of a run measures, and the results of all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from torch import distributed
from torchmetrics import Metric

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Share:
    """Every `world_size`-th sample, from the one at `rank` on; by default all of them.

    What is known of single samples is gathered in the order of the samples, so that the figures are
    those of one process. All processes must call `of_all`, `gather` and `broadcast` together.

    Attributes:
        rank: Which of the processes this is, from 0.
        world_size: Number of processes that divide the samples.
    """

    rank: int = 0
    world_size: int = 1

    @classmethod
    def of_this_process(cls) -> Self:
        """The share of this process among those of PyTorch's process group, if there is one."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    @property
    def is_divided(self) -> bool:
        """Whether there are other processes."""
        return self.world_size > 1

    def holds(self, index: int) -> bool:
        """Whether a sample is one of this process."""
        return index % self.world_size == self.rank

    def indices(self, count: int) -> range:
        """The samples of this process, of so many."""
        return range(self.rank, count, self.world_size)

    def of_all(self, value: _Value) -> list[_Value]:
        """Every process's value, by rank."""
        if not self.is_divided:
            return [value]
        values: list[Any] = [None] * self.world_size
        distributed.all_gather_object(values, value)
        return values

    def gather(self, own: Sequence[_Value]) -> list[_Value]:
        """The values of all samples, in their order, of which this process has its own."""
        parts = self.of_all(list(own))
        count = sum(map(len, parts))
        return [parts[index % self.world_size][index // self.world_size] for index in range(count)]

    def broadcast(self, value: _Value) -> _Value:
        """The value of the first process."""
        if not self.is_divided:
            return value
        values: list[Any] = [value]
        distributed.broadcast_object_list(values)
        found: _Value = values[0]
        return found

    def prepare(self, metric: Metric) -> None:
        """Have a metric add up the states of all processes where each has seen its share only."""
        for part in metric.modules():
            if isinstance(part, Metric):
                part.distributed_available_fn = lambda: self.is_divided
