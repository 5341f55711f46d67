"""Parquet files whose row groups are read one by one: what is checked before, and how."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import BadSample, UserError, shown
from .fields import written

MAX_ROW_GROUP_ROWS = 2**24
MAX_ROW_GROUP_BYTES = 2**31
"""Larger row groups are refused, because one is read whole: a small file can unfold to much."""


def read_footer(file: Path, columns: Sequence[str]) -> tuple[pa.Schema, list[int]]:
    """The schema of a file, and the number of rows of each row group.

    Args:
        file: The file, of which only the footer is read.
        columns: Names of columns that it must have.

    Raises:
        UserError: If it is missing or not a Parquet file, lacks a column or has it twice, or a row
            group is too large to be read as a whole.
    """
    try:
        with pq.ParquetFile(file) as parquet:
            metadata, schema = parquet.metadata, parquet.schema_arrow
            groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    except FileNotFoundError:
        raise UserError(f"{file} does not exist; expected a parquet file, name another") from None
    except (OSError, pa.ArrowException) as error:
        raise unreadable(file, error) from None
    for column in columns:
        count = schema.names.count(column)
        if not count:
            raise UserError(
                f"{file} has no column {column!r}; it has {shown(schema.names)}, choose one of them"
            )
        if count > 1:
            raise UserError(
                f"{file} has {count} columns {column!r}; expected one, rename the others"
            )
    for group in groups:
        if group.num_rows > MAX_ROW_GROUP_ROWS or group.total_byte_size > MAX_ROW_GROUP_BYTES:
            raise UserError(
                f"{file} has a row group of {group.num_rows:,} rows and {group.total_byte_size:,} "
                f"bytes; expected at most {MAX_ROW_GROUP_ROWS:,} rows and "
                f"{MAX_ROW_GROUP_BYTES:,} bytes, write it with smaller row groups"
            )
    return schema, [group.num_rows for group in groups]


def check_text_column(file: Path, schema: pa.Schema, column: str) -> None:
    """Raise if the values of a column are not texts, by themselves or as entries of a dictionary.

    Raises:
        UserError: Naming what they are.
    """
    declared = kind = schema.field(column).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    forms = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    if not any(is_form(kind) for is_form in forms):
        raise UserError(
            f"{file} has {declared} in column {column!r}; expected text, choose another"
        )


def read_row_group(
    file: Path, number: int, columns: Sequence[str], dictionaries: Sequence[str] = ()
) -> pa.Table:
    """Some columns of one row group.

    Args:
        file: The file.
        number: Which row group, from 0.
        columns: Their names.
        dictionaries: Columns whose values are kept once, however often they come.

    Raises:
        UserError: If it is damaged.
    """
    try:
        with pq.ParquetFile(file, read_dictionary=list(dictionaries)) as parquet:
            table = parquet.read_row_group(number, columns=list(columns), use_threads=False)
        table.validate(full=False)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(file, error) from None
    return table


def text_value(value: Any, column: str, where: str) -> str:
    """The text of a scalar, as it is written.

    Args:
        value: A scalar of a column of texts.
        column: Its name.
        where: What the row is, for the message.

    Raises:
        BadSample: If it is missing, empty or not UTF-8.
    """
    try:
        text: str | None = value.as_py()
    except UnicodeDecodeError as error:
        raise BadSample(
            f"{where} has no UTF-8 text in {column!r} ({error.reason}); remove it"
        ) from None
    if text is None:
        raise BadSample(f"{where} has no text in {column!r}; fill it in or remove it")
    written(text, repr(column), where)
    return text


def unreadable(file: Path, error: Exception) -> UserError:
    """What to raise where a file is damaged."""
    reason = " ".join(str(error).split())
    return UserError(f"{file} cannot be read as parquet ({reason}); restore or remove it")
