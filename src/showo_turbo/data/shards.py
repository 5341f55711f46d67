"""Millions of images with captions in shards, read shard by shard."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_info

from ..errors import BadSample, UserError, shown
from ..utils.remembered import Remembered
from ..version import __version__
from .bad_samples import Skip, refuse
from .images import decode_bytes, square_pixels
from .parquet_files import read_row_group, text_value
from .parquet_shards import count_rows, read_image_value
from .sources import CaptionSource
from .streams import StreamDataset
from .tar_shards import is_tar, name_of, read_caption, read_image_bytes, read_members
from .transparency import BACKGROUND, check_background

_OPEN_SHARDS = 2
"""So many are held open: the one that is read, and the one before, whose last samples the workers
may still be at."""


@dataclass(frozen=True)
class ImageTextShards(CaptionSource):
    """Images with captions in shards: tar files of WebDataset, or Parquet with images in it.

    Shards come in a random order, and the samples of a shard in a random order, so that one shard
    is read at a time, however many there are. When a run begins every shard's headers are read,
    and a broken one is found; those of tar files are not read again until they change.

    Args:
        files: Files, and folders that are searched for `*.tar` and `*.parquet` with their
            subfolders. In a tar file the members of a sample have a name in common: an image, and
            a caption as `.txt`, or as `caption` of a `.json`.
        image_column: Column of the images in Parquet: bytes, or records with `bytes`.
        caption_column: Column of the captions in Parquet.
        background: Color that shows through transparent parts of the images, such as `black` or
            `#808080`.
    """

    files: list[Path]
    image_column: str = "image"
    caption_column: str = "caption"
    background: str = BACKGROUND

    def __post_init__(self) -> None:
        check_background(self.background)

    def captions(self, skip: Skip = refuse) -> list[str]:
        """All captions, shard by shard; images are not read."""
        found = []
        for shard in self.open(1, skip).shards:
            opened = _unchanged(shard, shard.open_captions())
            for index in range(shard.count):
                try:
                    found.append(shard.read_caption(opened, index))
                except BadSample as error:
                    skip(error)
        return found

    def open(self, resolution: int, skip: Skip = refuse) -> "ShardStream":
        """Read the headers of all shards; images come as squares of `resolution` pixels."""
        columns = (self.image_column, self.caption_column)
        shards: list[TarShard | ParquetShard] = []
        for path in find_shards(self.files):
            if is_tar(path):
                shards.append(TarShard(path))
            else:
                counts = enumerate(count_rows(path, columns))
                shards += [ParquetShard(path, i, count, columns) for i, count in counts if count]
        if not shards:
            raise UserError(f"files is {shown(self.files)}, which hold no samples; name others")
        stream = ShardStream(shards, resolution, self.background)
        rank_zero_info(f"{len(stream):,} images with captions in {len(shards):,} shards")
        return stream


class TarShard:
    """A tar file; what is in it is read again whenever it is opened.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = self._count()

    def _count(self) -> int:
        """Its samples, remembered on this machine until the file changes."""
        note = Remembered([self.path], f"samples of a tar, by {__version__}")
        known = note.get() or ""
        if known.isdecimal():
            return int(known)
        count = len(read_members(self.path))
        note.set(str(count))
        return count

    def open(self) -> Any:
        """What `read` needs."""
        return read_members(self.path)

    open_captions = open

    def read_caption(self, opened: Any, index: int) -> str:
        """The caption of a sample."""
        return read_caption(self.path, opened[index])

    def read(self, opened: Any, index: int) -> tuple[bytes, str, str]:
        """An image's bytes, its caption, and what it is called in messages."""
        image = read_image_bytes(self.path, opened[index])
        return image, self.read_caption(opened, index), name_of(opened[index], self.path)


class ParquetShard:
    """A row group of a Parquet file.

    Args:
        path: The file.
        number: Which row group it is.
        count: Its rows.
        columns: Names of the columns of images and of captions.
    """

    def __init__(self, path: Path, number: int, count: int, columns: tuple[str, str]) -> None:
        self.path = path
        self.number = number
        self.count = count
        self.columns = columns

    def open(self) -> Any:
        """What `read` needs."""
        return read_row_group(self.path, self.number, self.columns)

    def open_captions(self) -> Any:
        """What `read_caption` needs, without the images."""
        return read_row_group(self.path, self.number, self.columns[1:])

    def read_caption(self, opened: Any, index: int) -> str:
        """The caption of a sample."""
        column = self.columns[1]
        return text_value(opened.column(column)[index], column, self._where(index)).strip()

    def read(self, opened: Any, index: int) -> tuple[bytes, str, str]:
        """An image's bytes, its caption, and what it is called in messages."""
        where = self._where(index)
        image = read_image_value(opened.column(self.columns[0])[index], self.columns[0], where)
        return image, self.read_caption(opened, index), where

    def _where(self, index: int) -> str:
        return f"row {index} of row group {self.number} of {self.path}"


class ShardStream(StreamDataset):
    """Images with captions of shards.

    A sample is `{"pixels": (3, resolution, resolution), "caption": str, "image_id": int, "seed":
    int}`.

    Args:
        shards: The shards.
        resolution: Side length in pixels.
        background: Color that shows through transparent parts of the images.

    Attributes:
        parts: How many samples each shard has: a sampler takes one after the other, see
            `JoinedBatchSampler`.
    """

    def __init__(
        self,
        shards: Sequence[TarShard | ParquetShard],
        resolution: int,
        background: str = BACKGROUND,
    ) -> None:
        self.shards = shards
        self.resolution = resolution
        self.background = background
        self.parts = [shard.count for shard in shards]
        self._ends = list(accumulate(self.parts))
        self._opened: OrderedDict[int, Any] = OrderedDict()

    def __len__(self) -> int:
        """Number of samples."""
        return self._ends[-1]

    def draw(self, index: int, seed: int) -> dict[str, Any]:
        """The sample at `index`; `seed` is unused."""
        content, caption, where = self.read(index)
        image = decode_bytes(content, f"the image of {where}", self.background)
        return {
            "pixels": square_pixels(image, self.resolution),
            "caption": caption,
            "image_id": index,
            "seed": seed,
        }

    def read(self, index: int) -> tuple[bytes, str, str]:
        """An image's bytes, its caption, and what it is called in messages."""
        number = bisect_right(self._ends, index)
        start = self._ends[number - 1] if number else 0
        shard = self.shards[number]
        opened = self._opened.pop(number, None)
        if opened is None:
            opened = _unchanged(shard, shard.open())
        self._opened[number] = opened
        if len(self._opened) > _OPEN_SHARDS:
            self._opened.popitem(last=False)
        return shard.read(opened, index - start)


def find_shards(files: Sequence[Path]) -> list[Path]:
    """The files to read, those of a folder by name.

    Raises:
        UserError: If there are none, or one is of another kind.
    """
    found: list[Path] = []
    for path in map(Path, files):
        inside = [path]
        if path.is_dir():
            # Some programs write folders of this name, with the files in them.
            inside = sorted(p for p in path.rglob("*") if _is_shard(p) and p.is_file())
        elif not _is_shard(path):
            raise UserError(
                f"{path} is of another kind; expected a .tar or .parquet file, name one"
            )
        if not inside:
            raise UserError(f"{path} holds no *.tar and no *.parquet file; name another folder")
        found += inside
    if not found:
        raise UserError(
            f"files is {shown(list(files))}; expected .tar or .parquet files, name some"
        )
    return found


def _is_shard(path: Path) -> bool:
    """Whether a file is a shard by its name."""
    return path.suffix.lower() in (".tar", ".parquet")


def _unchanged(shard: TarShard | ParquetShard, opened: Any) -> Any:
    """What was opened of a shard, if it has as many samples as before.

    Raises:
        UserError: If it has others.
    """
    if len(opened) != shard.count:
        raise UserError(
            f"{shard.path} had {shard.count} samples and now has {len(opened)}; leave "
            "shards as they are while a run reads them"
        )
    return opened
