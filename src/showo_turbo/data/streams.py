"""Named streams of samples, joined into one dataset whose batches hold a part of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import BadSample, UserError
from .bad_samples import Skip


@dataclass(frozen=True, slots=True)
class SampleKey:
    """Which sample to make: the stream, the index in it, and the seed of what is drawn for it."""

    stream: str
    index: int
    seed: int


class Stream(Protocol):
    """What a named stream must offer; any class with these methods is one.

    A stream has no random state. Whatever it draws (which of several captions, which step of a
    trajectory) it draws from the sample's seed, so that a resumed run sees what the first saw.

    One whose samples lie in parts, of which few can be open at a time, has their sizes as `parts`:
    then one part is gone through after the other.

    One whose samples differ in length has their tokens as `lengths`, if they are known without
    making the samples: then batches can be made of as many tokens each.
    """

    def __len__(self) -> int:
        """Number of samples."""

    def draw(self, index: int, seed: int) -> Any:
        """Make the sample at `index`, drawing from `seed` where there is a choice."""

    def collate(self, items: Sequence[Any]) -> Any:
        """Put the samples of one batch together."""


class StreamDataset(Dataset[dict[str, Any]]):
    """A stream whose samples are dicts; batches stack their tensors and list everything else."""

    def __len__(self) -> int:
        """Number of samples."""
        raise NotImplementedError

    def draw(self, index: int, seed: int) -> dict[str, Any]:
        """Make the sample at `index`, drawing from `seed` where there is a choice."""
        raise NotImplementedError

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The sample at `index`, with the index for a seed: always the same one."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.draw(index, seed=index)

    def collate(self, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Stack the tensors of the samples and list everything else."""
        return stack_items(items)


class Loaded(NamedTuple):
    """What a loader gets for a batch, from a worker process or its own.

    Mistakes are handed over instead of raised: PyTorch would wrap one that a worker process raises
    into a message of many lines.

    Attributes:
        batch: Stream name -> what the stream's `collate` makes of the good samples. A stream of
            which all samples are bad is missing.
        bad: What is wrong with the bad samples.
        error: A mistake that is not one of a sample.
    """

    batch: dict[str, Any]
    bad: list[BadSample]
    error: UserError | None = None

    def good(self, skip: Skip) -> dict[str, Any]:
        """The batch, once its bad samples are accounted for.

        Raises:
            UserError: If a bad sample must not be left out, or no good one is there.
        """
        if self.error is not None:
            raise self.error
        for error in self.bad:
            skip(error)
        if not self.batch:
            raise UserError(
                f"all {len(self.bad)} samples of a batch are bad; repair them, or choose a larger "
                f"batch size; the first: {self.bad[0]}"
            )
        return self.batch


class SpreadStream:
    """Some samples of a stream, spread evenly over it; each is drawn as the stream itself draws it.

    Args:
        stream: The stream.
        count: How many; all if there are not more.
    """

    def __init__(self, stream: Stream, count: int) -> None:
        self.stream = stream
        self.count = min(count, len(stream))

    def __len__(self) -> int:
        """Number of samples."""
        return self.count

    def draw(self, index: int, seed: int) -> Any:
        """The sample at `index` of these, with its place in the stream for a seed."""
        place = index * len(self.stream) // self.count
        return self.stream.draw(place, seed=place)

    def collate(self, items: Sequence[Any]) -> Any:
        """Put the samples of one batch together."""
        return self.stream.collate(items)


class JoinedDataset(Dataset[Loaded]):
    """Makes whole batches from lists of `SampleKey`.

    Args:
        streams: The streams by name.
    """

    def __init__(self, streams: Mapping[str, Stream]) -> None:
        self.streams = dict(streams)

    def __getitem__(self, keys: Sequence[SampleKey]) -> Loaded:
        """The batch of these samples."""
        items: dict[str, list[Any]] = {}
        bad: list[BadSample] = []
        try:
            for key in keys:
                try:
                    item = self.streams[key.stream].draw(key.index, key.seed)
                except BadSample as error:
                    bad.append(error)
                else:
                    items.setdefault(key.stream, []).append(item)
            batch = {name: self.streams[name].collate(drawn) for name, drawn in items.items()}
        except UserError as error:
            return Loaded({}, [], error)
        return Loaded(batch, bad)


class SingleStream(Dataset[tuple[int, Any]]):
    """A stream in its own order with fixed draws, for validation.

    Its batches are `{name: batch}`; dict batches carry `"index"`, the index of each sample, by
    which results are matched after they were computed on several devices.

    Args:
        name: Name of the stream.
        stream: The stream.
    """

    def __init__(self, name: str, stream: Stream) -> None:
        self.name = name
        self.stream = stream

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.stream)

    def __getitem__(self, index: int) -> tuple[int, Any]:
        """The index and the sample, drawn with the index for a seed; or what is wrong with it."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        try:
            return index, self.stream.draw(index, seed=index)
        except UserError as error:
            return index, error

    def collate(self, items: Sequence[tuple[int, Any]]) -> Loaded:
        """Put the good samples of one batch together under the stream's name."""
        bad, good = [], []
        for index, item in items:
            if isinstance(item, BadSample):
                bad.append(item)
            elif isinstance(item, UserError):
                return Loaded({}, [], item)
            else:
                good.append((index, item))
        if not good:
            return Loaded({}, bad)
        batch = self.stream.collate([item for _, item in good])
        if isinstance(batch, dict):
            batch["index"] = [index for index, _ in good]
        return Loaded({self.name: batch}, bad)


def stack_items(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Turn a list of dicts into a dict of batches.

    Args:
        items: Dicts with the same keys; tensors under one key have one shape.

    Returns:
        For each key a tensor `(batch, ...)` if the values are tensors, else the list of values.
    """
    batch: dict[str, Any] = {}
    for key in items[0]:
        values = [item[key] for item in items]
        batch[key] = torch.stack(values) if isinstance(values[0], Tensor) else values
    return batch
