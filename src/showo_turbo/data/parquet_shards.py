"""Images with captions in Parquet files, as data sets of the hub have them."""

from pathlib import Path

import pyarrow as pa

from ..errors import BadSample, UserError
from .parquet_files import check_text_column, read_footer

BYTES = "bytes"
"""Of a column of images that are records: the field with the content of the file."""


def count_rows(path: Path, columns: tuple[str, str]) -> list[int]:
    """The number of rows of each row group of a file, of which the footer is read.

    Args:
        path: The file.
        columns: Names of the columns of images and of captions.

    Raises:
        UserError: If it is not a Parquet file, lacks a column or has another kind of values in it,
            or a row group is too large to be read as a whole.
    """
    images, captions = columns
    schema, rows = read_footer(path, columns)
    kind = schema.field(images).type
    if not _holds_bytes(kind):
        raise UserError(
            f"{path} has {kind} in column {images!r}; expected the bytes of images, by "
            f"themselves or as {BYTES!r} of a record, choose another"
        )
    check_text_column(path, schema, captions)
    return rows


def read_image_value(image: pa.Scalar, column: str, where: str) -> bytes:
    """The bytes of a row's image.

    Args:
        image: What the row has.
        column: Name of the column, for the message.
        where: What the row is, likewise.

    Raises:
        BadSample: If it is missing or empty.
    """
    if isinstance(image, pa.StructScalar):
        image = image[BYTES] if image.is_valid else pa.scalar(None)
    content: bytes | None = image.as_py()
    if not content:
        raise BadSample(f"{where} has no image in {column!r}; add it or remove the row")
    return content


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        names = [kind.field(number).name for number in range(kind.num_fields)]
        if names.count(BYTES) != 1:
            return False
        kind = kind.field(names.index(BYTES)).type
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
