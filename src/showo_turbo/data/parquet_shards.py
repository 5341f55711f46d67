"""Pictures with captions in Parquet files, as data sets of the hub have them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import BadSample, UserError, shown
from .fields import written
from .web_text import MAX_ROW_GROUP_BYTES, MAX_ROW_GROUP_ROWS

BYTES = "bytes"
"""Of a column of pictures that are records: the field with the content of the file."""


def read_row_groups(path: Path, columns: tuple[str, str]) -> list[int]:
    """The number of rows of each row group of a file, of which the footer is read.

    Args:
        path: The file.
        columns: Names of the columns of pictures and of captions.

    Raises:
        UserError: If it is not a Parquet file, lacks a column or has another kind of values in it,
            or a row group is too large to be read as a whole.
    """
    try:
        with pq.ParquetFile(path) as parquet:
            schema, metadata = parquet.schema_arrow, parquet.metadata
            groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; expected a parquet file, name another") from None
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None
    for name in columns:
        if schema.names.count(name) != 1:
            raise UserError(
                f"{path} has {schema.names.count(name)} columns {name!r}; it has "
                f"{shown(schema.names)}, name one of them"
            )
    if not _holds_bytes(schema.field(columns[0]).type):
        raise UserError(
            f"{path} has {schema.field(columns[0]).type} in column {columns[0]!r}; expected the "
            f"bytes of pictures, by themselves or as {BYTES!r} of a record, name another column"
        )
    if not (pa.types.is_string(kind := schema.field(columns[1]).type) or _is_large(kind)):
        raise UserError(
            f"{path} has {kind} in column {columns[1]!r}; expected text, name another column"
        )
    for group in groups:
        if group.num_rows > MAX_ROW_GROUP_ROWS or group.total_byte_size > MAX_ROW_GROUP_BYTES:
            raise UserError(
                f"{path} has a row group of {group.num_rows:,} rows and {group.total_byte_size:,} "
                f"bytes; expected at most {MAX_ROW_GROUP_BYTES:,} bytes, write it with smaller row "
                "groups"
            )
    return [group.num_rows for group in groups]


def read_row_group(path: Path, number: int, columns: tuple[str, str]) -> pa.Table:
    """One row group, the columns of pictures and of captions only.

    Raises:
        UserError: If it is damaged.
    """
    try:
        with pq.ParquetFile(path) as parquet:
            return parquet.read_row_group(number, columns=list(columns), use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def read_row(
    table: pa.Table, index: int, columns: tuple[str, str], where: str
) -> tuple[bytes, str]:
    """The bytes of a row's picture, and its caption.

    Args:
        table: A row group.
        index: Number of the row in it.
        columns: Names of the columns of pictures and of captions.
        where: What the row is, for the message.

    Raises:
        BadSample: If one of them is missing or empty, or the caption is not a text.
    """
    try:
        picture, caption = (table.column(name)[index].as_py() for name in columns)
    except UnicodeDecodeError as error:
        raise BadSample(
            f"{where} has no UTF-8 text in {columns[1]!r} ({error.reason}); remove it"
        ) from None
    content: Any = picture.get(BYTES) if isinstance(picture, dict) else picture
    if not content:
        raise BadSample(f"{where} has no picture in {columns[0]!r}; add it or remove the row")
    if caption is None:
        raise BadSample(f"{where} has no text in {columns[1]!r}; fill it in or remove the row")
    return content, written(caption, repr(columns[1]), where)


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        names = [kind.field(number).name for number in range(kind.num_fields)]
        return BYTES in names and _holds_bytes(kind.field(names.index(BYTES)).type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_large(kind: pa.DataType) -> bool:
    return bool(pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())
    return UserError(f"{path} cannot be read as parquet ({reason}); restore or remove it")
