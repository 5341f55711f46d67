"""Map-style data sets over stores of trajectories."""

from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from itertools import accumulate
from pathlib import Path

from torch.utils.data import Dataset

from ..errors import UserError, shown
from .manifest import Shard
from .ragged import ShardReader
from .record import DenoisedText, ImageTrajectory, TextTrajectory
from .segments import check_segments
from .shard_checks import check_denoised_shard, check_image_shard, check_text_shard
from .shards import text_lengths, unpack_denoised, unpack_image, unpack_text
from .store import TrajectoryStore

Check = Callable[[ShardReader], None]


class _Shards:
    """Finds the shard, and the place in it, of a running index over all shards.

    Args:
        store: Whose shards these are.
        check: Gives what looks at a shard once it is open.
    """

    def __init__(self, store: TrajectoryStore, check: Callable[[Shard], Check]) -> None:
        shards = sorted(store.manifest.shards.items())
        self.readers = [ShardReader(store.shard_path(i), check(shard)) for i, shard in shards]
        self.starts = [0, *accumulate(shard.samples for _, shard in shards)]

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
        store: An open store of image trajectories, or its folder, whose checksums are then
            compared.

    Raises:
        UserError: If the folder is not a finished store of images, or a shard is damaged.
    """

    def __init__(self, store: TrajectoryStore | Path | str) -> None:
        self.store = _opened(store, "images")
        self.steps = _setting(self.store, "sampling.sampling_steps")
        self.recorded_segments = _setting(self.store, "segments")
        check_segments(self.steps, self.recorded_segments)
        check = partial(check_image_shard, segments=self.recorded_segments)
        self._shards = _Shards(self.store, lambda shard: partial(check, samples=shard.samples))

    def __len__(self) -> int:
        return len(self._shards)

    def __getitem__(self, index: int) -> ImageTrajectory:
        reader, row = self._shards.locate(index)
        return unpack_image(reader, row, recorded_segments=self.recorded_segments)


class TextTrajectoryDataset(Dataset[TextTrajectory]):
    """Jacobi trajectories of whole answers.

    Args:
        store: An open store of text trajectories, or its folder, whose checksums are then
            compared.

    Raises:
        UserError: If the folder is not a finished store of such texts, or a shard is damaged.
    """

    def __init__(self, store: TrajectoryStore | Path | str) -> None:
        self.store = _opened(store, "texts")
        _expect_denoised(self.store, False)
        self._block_size = _setting(self.store, "decoding.block_size")
        check = partial(check_text_shard, block_size=self._block_size)
        self._shards = _Shards(self.store, lambda shard: partial(check, **_counts(shard)))

    def __len__(self) -> int:
        return len(self._shards)

    def __getitem__(self, index: int) -> TextTrajectory:
        reader, row = self._shards.locate(index)
        return unpack_text(reader, row)

    def lengths(self) -> list[int]:
        """Tokens of each sample as training reads it.

        These are image, prompt, answer and two versions of each block: the iterate, and the one
        that it is trained towards.
        """
        return [
            length
            for reader in self._shards.readers
            for length in text_lengths(reader, self._block_size)
        ]


class DenoisedTextDataset(Dataset[DenoisedText]):
    """Answers that were denoised block after block.

    Args:
        store: An open store of text trajectories, or its folder, whose checksums are then
            compared.

    Raises:
        UserError: If the folder is not a finished store of such texts, or a shard is damaged.
    """

    def __init__(self, store: TrajectoryStore | Path | str) -> None:
        self.store = _opened(store, "texts")
        _expect_denoised(self.store, True)
        block_size = _setting(self.store, "decoding.block_size")
        self.length = _setting(self.store, "decoding.max_new_tokens")
        self.recorded_segments = _setting(self.store, "segments")
        check = partial(
            check_denoised_shard,
            block_size=block_size,
            length=self.length,
            segments=self.recorded_segments,
        )
        self._shards = _Shards(self.store, lambda shard: partial(check, **_counts(shard)))

    def __len__(self) -> int:
        return len(self._shards)

    def __getitem__(self, index: int) -> DenoisedText:
        reader, row = self._shards.locate(index)
        return unpack_denoised(
            reader, row, length=self.length, recorded_segments=self.recorded_segments
        )


def _counts(shard: Shard) -> dict[str, int]:
    """How many answers the manifest says that a shard has, and how many blocks they have."""
    return {"samples": shard.samples, "blocks": int(shard.totals.get("blocks", 0))}


def open_texts(store: TrajectoryStore | Path | str) -> TextTrajectoryDataset | DenoisedTextDataset:
    """The texts of a store, of either kind."""
    store = _opened(store, "texts")
    return DenoisedTextDataset(store) if is_denoised(store) else TextTrajectoryDataset(store)


def is_denoised(store: TrajectoryStore) -> bool:
    """Whether the texts of a store were denoised, and not decoded from left to right."""
    return store.identity.settings.get("decoding.method") == "block_diffusion"


def _expect_denoised(store: TrajectoryStore, expected: bool) -> None:
    """Raise if the texts of a store are of the other kind.

    Raises:
        UserError: Naming both.
    """
    kinds = {False: "texts decoded from left to right", True: "denoised texts"}
    if is_denoised(store) != expected:
        raise UserError(
            f"{store.folder} holds {kinds[not expected]}; expected {kinds[expected]}, name a store "
            "that was collected with this model"
        )


def _setting(store: TrajectoryStore, name: str) -> int:
    """A setting of the collection that is a count.

    Raises:
        UserError: If it is missing or none.
    """
    value = store.identity.settings.get(name)
    if type(value) is not int or value < 1:
        found = "nothing" if value is None else shown(value)
        raise UserError(
            f"the manifest of {store.folder} has {found} for {name}; expected a whole "
            "number of at least 1, collect again"
        )
    return value


def _opened(store: TrajectoryStore | Path | str, kind: str) -> TrajectoryStore:
    """Open a store; whoever gives one that is open has seen to its checksums."""
    if isinstance(store, TrajectoryStore):
        return TrajectoryStore.open(store.folder, kind=kind, verify=False)
    return TrajectoryStore.open(store, kind=kind)
