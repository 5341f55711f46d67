"""Map-style data sets over stores of trajectories."""

from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import torch
from torch.utils.data import Dataset

from .ragged import ShardReader
from .record import ImageTrajectory, TextBlock, TextTrajectory
from .shards import unpack_image, unpack_text
from .store import TrajectoryStore


class _Shards:
    """Finds the shard, and the place in it, of a running index over all shards."""

    def __init__(self, store: TrajectoryStore, sizes: list[int]) -> None:
        self.readers = [ShardReader(path) for path in store.shard_paths()]
        self.starts = [0, *accumulate(sizes)]

    def __len__(self) -> int:
        return self.starts[-1]

    def locate(self, index: int) -> tuple[ShardReader, int]:
        """Return the shard that holds `index` and the index within it.

        Raises:
            IndexError: If there is no such index.
        """
        index = range(len(self))[index]
        shard = bisect_right(self.starts, index) - 1
        return self.readers[shard], index - self.starts[shard]


class ImageTrajectoryDataset(Dataset[ImageTrajectory]):
    """Image trajectories, read from mapped files as they are asked for.

    It can be handed to workers: it carries paths, no open files.

    Args:
        store: An open store of image trajectories, or its folder.

    Raises:
        UserError: If the folder is not a finished store of images.
    """

    def __init__(self, store: TrajectoryStore | Path | str) -> None:
        self.store = _opened(store, "images")
        shards = self.store.manifest.shards
        self._shards = _Shards(self.store, [shards[index].samples for index in sorted(shards)])
        self.steps = int(self.store.identity.settings["steps"])
        self.segments = int(self.store.identity.settings["segments"])

    def __len__(self) -> int:
        return len(self._shards)

    def __getitem__(self, index: int) -> ImageTrajectory:
        reader, row = self._shards.locate(index)
        return unpack_image(reader, row, steps=self.steps, segments=self.segments)


class TextTrajectoryDataset(Dataset[TextBlock]):
    """Blocks of Jacobi trajectories, one block an example.

    Args:
        store: An open store of text trajectories, or its folder.

    Raises:
        UserError: If the folder is not a finished store of texts.
    """

    def __init__(self, store: TrajectoryStore | Path | str) -> None:
        self.store = _opened(store, "texts")
        shards = [self.store.manifest.shards[index] for index in sorted(self.store.manifest.shards)]
        self._trajectories = _Shards(self.store, [shard.samples for shard in shards])
        self._blocks = _Shards(self.store, [int(shard.totals["blocks"]) for shard in shards])
        self._blocks.readers = self._trajectories.readers

    def __len__(self) -> int:
        return len(self._blocks)

    def __getitem__(self, index: int) -> TextBlock:
        reader, block = self._blocks.locate(index)
        offsets = reader.offsets("blocks")
        sample = int(torch.searchsorted(offsets, block, right=True)) - 1
        return unpack_text(reader, sample).block(block - int(offsets[sample]))

    @property
    def num_trajectories(self) -> int:
        """Number of answers, each of one block or more."""
        return len(self._trajectories)

    def trajectory(self, index: int) -> TextTrajectory:
        """Return the whole trajectory of one answer."""
        reader, row = self._trajectories.locate(index)
        return unpack_text(reader, row)


def _opened(store: TrajectoryStore | Path | str, kind: str) -> TrajectoryStore:
    if isinstance(store, TrajectoryStore):
        store = store.folder
    return TrajectoryStore.open(store, kind=kind, verify=False)
