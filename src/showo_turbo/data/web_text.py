"""Web text in parquet files, such as RefinedWeb (Penedo et al., arXiv 2306.01116)."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from ..errors import UserError
from .parquet_files import check_text_column, read_footer, read_row_group, text_value, unreadable
from .streams import StreamDataset

CACHE_BYTES = 2**28
"""Row groups are kept, those that were used last, as long as all of them have so many bytes."""


class _RowGroup(NamedTuple):
    file: Path
    number: int


class WebText(StreamDataset):
    """Documents of parquet files, read where they are asked for.

    A sample is `{"text": str, "seed": int}`. Only the files' footers are read at the start, and of
    the data only the row groups in use (the last ones are kept, see `CACHE_BYTES`), so the files
    may be of any size.

    Args:
        files: Files, and folders that are searched for `*.parquet` with their subfolders.
        column: Name of the text column.

    Raises:
        UserError: If there is no file, or one is not a Parquet file, lacks the column, or has rows
            without text in it.
    """

    def __init__(self, files: Sequence[Path], column: str = "content") -> None:
        self.column = column
        found = _find_files(files)
        self._row_groups: list[_RowGroup] = []
        sizes: list[int] = []
        for file in found:
            schema, rows = read_footer(file, [column])
            check_text_column(file, schema, column)
            for number, size in enumerate(rows):
                self._row_groups.append(_RowGroup(file, number))
                sizes.append(size)
        self._ends = list(accumulate(sizes))
        if not len(self):
            raise UserError(
                f"{found[0]} holds no row, nor does any other file; expected texts, name others"
            )
        self._cache: OrderedDict[int, pa.ChunkedArray] = OrderedDict()

    def __len__(self) -> int:
        """Number of documents."""
        return self._ends[-1] if self._ends else 0

    def draw(self, index: int, seed: int) -> dict[str, Any]:
        """The document at `index`; `seed` is unused."""
        number = bisect_right(self._ends, index)
        start = self._ends[number - 1] if number else 0
        row_group = self._row_groups[number]
        where = f"row {index - start} of row group {row_group.number} of {row_group.file}"
        text = text_value(self._texts(number)[index - start], self.column, where)
        return {"text": text, "seed": seed}

    def _texts(self, number: int) -> pa.ChunkedArray:
        """The texts of one row group, from the cache if they are there."""
        texts = self._cache.pop(number, None)
        if texts is None:
            file, place = self._row_groups[number]
            # A text that comes a million times is kept once.
            texts = read_row_group(file, place, [self.column], [self.column]).column(0)
            noted = self._ends[number] - (self._ends[number - 1] if number else 0)
            if len(texts) != noted:
                raise unreadable(file, ValueError(f"{len(texts)} rows in a row group of {noted}"))
        self._cache[number] = texts
        while (
            len(self._cache) > 1 and sum(kept.nbytes for kept in self._cache.values()) > CACHE_BYTES
        ):
            self._cache.popitem(last=False)
        return texts


def _find_files(files: Sequence[Path]) -> list[Path]:
    """The files to read, those of a folder by name."""
    found: list[Path] = []
    for path in map(Path, files):
        in_folder = [path]
        if path.is_dir():
            # Some programs write folders of this name, with the files in them.
            in_folder = sorted(entry for entry in path.rglob("*.parquet") if entry.is_file())
        if not in_folder:
            raise UserError(f"{path} holds no *.parquet file; name another folder, or the files")
        found += in_folder
    if not found:
        raise UserError(
            "no text files are named; expected parquet files, or folders of them, name some"
        )
    return found
