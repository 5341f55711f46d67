"""Web text in parquet files, such as RefinedWeb (Penedo et al., arXiv 2306.01116)."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import BadSample, UserError, shown
from .fields import written
from .streams import StreamDataset

CACHE_BYTES = 2**28
"""Row groups are kept, those that were used last, as long as all of them have so many bytes."""

MAX_ROW_GROUP_ROWS = 2**24
MAX_ROW_GROUP_BYTES = 2**31
"""Larger row groups are refused, because one is read whole: a small file can unfold to much."""


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
            for number, size in enumerate(_row_group_sizes(file, column)):
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
        """The document at `index`; there is nothing to draw."""
        number = bisect_right(self._ends, index)
        start = self._ends[number - 1] if number else 0
        row_group = self._row_groups[number]
        where = f"row {index - start} of row group {row_group.number} of {row_group.file}"
        value = self._texts(number)[index - start]
        try:
            text = value.as_py()
        except UnicodeDecodeError as error:
            raise BadSample(
                f"{where} has no UTF-8 text in {self.column!r} ({error.reason}); remove it"
            ) from None
        if text is None:
            raise BadSample(f"{where} has no text in {self.column!r}; fill it in or remove it")
        written(text, repr(self.column), where)
        return {"text": text, "seed": seed}

    def _texts(self, number: int) -> pa.ChunkedArray:
        """The texts of one row group, from the cache if they are there."""
        texts = self._cache.pop(number, None)
        if texts is None:
            row_group = self._row_groups[number]
            try:
                # A text that comes a million times is kept once.
                with pq.ParquetFile(row_group.file, read_dictionary=[self.column]) as parquet:
                    table = parquet.read_row_group(
                        row_group.number, columns=[self.column], use_threads=False
                    )
                texts = table.column(0)
                texts.validate(full=False)
                noted = self._ends[number] - (self._ends[number - 1] if number else 0)
                if len(texts) != noted:
                    raise pa.ArrowInvalid(f"{len(texts)} rows in a row group of {noted}")
            except (OSError, pa.ArrowException) as error:
                raise _unreadable(row_group.file, error) from None
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


def _row_group_sizes(file: Path, column: str) -> list[int]:
    """The number of rows of each row group, after checking the column."""
    try:
        with pq.ParquetFile(file) as parquet:
            metadata, schema = parquet.metadata, parquet.schema_arrow
            groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    except FileNotFoundError:
        raise UserError(f"{file} does not exist; expected a parquet file, name another") from None
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(file, error) from None
    if column not in schema.names:
        raise UserError(
            f"{file} has no column {column!r}; it has {shown(schema.names)}, choose one of them"
        )
    if schema.names.count(column) > 1:
        raise UserError(
            f"{file} has {schema.names.count(column)} columns {column!r}; expected one, rename "
            "the others"
        )
    kind = schema.field(column).type
    if not _is_text(kind):
        raise UserError(f"{file} has {kind} in column {column!r}; expected text, choose another")
    for group in groups:
        if group.num_rows > MAX_ROW_GROUP_ROWS or group.total_byte_size > MAX_ROW_GROUP_BYTES:
            raise UserError(
                f"{file} has a row group of {group.num_rows:,} rows and {group.total_byte_size:,} "
                f"bytes; expected at most {MAX_ROW_GROUP_ROWS:,} rows and "
                f"{MAX_ROW_GROUP_BYTES:,} bytes, write it with smaller row groups"
            )
    return [group.num_rows for group in groups]


def _is_text(kind: pa.DataType) -> bool:
    """Whether values are texts, each by itself or as an entry of a dictionary."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    forms = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_form(kind) for is_form in forms)


def _unreadable(file: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())
    return UserError(f"{file} cannot be read as parquet ({reason}); restore or remove it")
