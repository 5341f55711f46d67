"""A data loader that can be resumed in the middle of an epoch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader

from ..errors import UserError
from .bad_samples import Skip, refuse
from .sampler import JoinedBatchSampler
from .streams import JoinedDataset, SingleStream


@dataclass(frozen=True)
class LoaderOptions:
    """How samples are loaded.

    Args:
        num_workers: Worker processes; 0 loads in the main process.
        prefetch_factor: Batches that each worker holds ready.
        pin_memory: Whether batches lie in page-locked memory, from which they reach a GPU faster.

    Raises:
        UserError: If a number is out of range.
    """

    num_workers: int = 0
    prefetch_factor: int = 2
    pin_memory: bool = False

    def __post_init__(self) -> None:
        for name, least in (("num_workers", 0), ("prefetch_factor", 1)):
            value = getattr(self, name)
            if value < least:
                raise UserError(f"{name} is {value}; expected {least} or more, set it so")

    def arguments(self) -> dict[str, Any]:
        """The options as arguments of PyTorch's `DataLoader`."""
        arguments: dict[str, Any] = {
            "num_workers": self.num_workers,
            "pin_memory": self.pin_memory,
            # A generator of its own: starting an epoch must not move the global random state.
            "generator": torch.Generator().manual_seed(0),
        }
        if self.num_workers:
            arguments |= {"prefetch_factor": self.prefetch_factor, "persistent_workers": True}
        return arguments


class ResumableLoader:
    """Iterates over the batches of joined streams, and knows how many were consumed.

    It is not a `DataLoader`, so Lightning neither replaces its sampler nor needs
    `use_distributed_sampler=False`; it tells the sampler the epoch and keeps the `state_dict` in
    its checkpoints, because the loader has both.

    Args:
        dataset: Makes the batches.
        sampler: Chooses the samples, and holds the position.
        options: How samples are loaded.
        skip: Leaves out a bad sample, or raises.
    """

    def __init__(
        self,
        dataset: JoinedDataset,
        sampler: JoinedBatchSampler,
        options: LoaderOptions,
        skip: Skip = refuse,
    ) -> None:
        self.sampler = sampler
        self.skip = skip
        self._batches: DataLoader[Any] = DataLoader(
            dataset,
            batch_size=None,
            sampler=sampler,
            collate_fn=_unchanged,
            **options.arguments(),
        )

    def __len__(self) -> int:
        """Batches of the whole epoch, those before a resume included."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The remaining batches of the epoch; of the next one if none remains.

        Loading starts with the first batch, not before: Lightning makes the iterator first and
        sets the epoch afterwards.

        Raises:
            UserError: If a sample cannot be made and must not be left out, or all of a batch.
        """
        if not self.sampler.batches_left:
            self.sampler.set_epoch(self.sampler.epoch + 1)
        for loaded in self._batches:
            batch = loaded.good(self.skip)
            # Before the batch is handed out: whoever saves a checkpoint during its training step
            # has consumed it.
            self.sampler.advance()
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """The position, the same on every rank."""
        return self.sampler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue at a saved position."""
        self.sampler.load_state_dict(state)


class EvaluationLoader:
    """Iterates over the batches of one stream, in order, and over all of them in every process.

    All processes then know all samples, of which whoever measures takes a share; and processes that
    hold parts of one network's weights stay in step. It is not a `DataLoader`, so Lightning does
    not divide it.

    Args:
        dataset: The stream.
        batch_size: Samples in a batch.
        options: How samples are loaded.
        skip: Leaves out a bad sample, or raises.
    """

    def __init__(
        self,
        dataset: SingleStream,
        batch_size: int,
        options: LoaderOptions,
        skip: Skip = refuse,
    ) -> None:
        self.skip = skip
        self._batches: DataLoader[Any] = DataLoader(
            dataset, batch_size=batch_size, collate_fn=dataset.collate, **options.arguments()
        )

    def __len__(self) -> int:
        """Batches."""
        return len(self._batches)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The batches.

        Raises:
            UserError: If a sample cannot be made and must not be left out, or all of a batch.
        """
        for loaded in self._batches:
            yield loaded.good(self.skip)


def _unchanged(batch: Any) -> Any:
    """Keep the batch that the dataset made."""
    return batch
