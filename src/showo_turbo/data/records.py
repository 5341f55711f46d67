"""Records of a file: JSON Lines, or a table of comma- or tab-separated values."""

import csv
import io
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ..errors import UserError, shown
from ..utils.files import parse_json
from ..utils.text_files import read_lines, read_text

JSON_LINES = (".jsonl", ".ndjson", ".jsonlines")
"""How the names of files of JSON Lines end."""

TABLES = {".csv": ",", ".tsv": "\t"}
"""How the names of tables end -> what separates their columns."""


def read_records(path: Path) -> Iterator[tuple[str, Any]]:
    """Read the records of a file, each with what it is called in messages.

    Args:
        path: A table if its name ends as those of `TABLES` do; its first row names the columns.
            Else one JSON value a line. Empty lines are passed over.

    Yields:
        Pairs such as `("line 3 of prompts.jsonl", {"prompt": ...})`. Values of tables are texts,
        empty where a cell is.

    Raises:
        UserError: If the file cannot be read, or a line or a row is malformed.
    """
    separator = TABLES.get(path.suffix.lower())
    if separator is not None:
        yield from _read_table(path, separator)
        return
    for number, line in read_lines(path):
        where = f"line {number} of {path}"
        yield where, parse_json(line, where)


def _read_table(path: Path, separator: str) -> Iterator[tuple[str, dict[str, str]]]:
    rows = csv.reader(io.StringIO(read_text(path)), delimiter=separator, strict=True)
    names: list[str] = []
    while True:
        where = f"the row at line {rows.line_num + 1} of {path}"
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(
                f"{where} is malformed ({error}); expected values separated by {separator!r}, "
                "those with a quotation mark in quotes and the mark doubled, correct it"
            ) from None
        cells = [cell.strip() for cell in row]
        while cells and not cells[-1]:  # as spreadsheets leave behind
            cells.pop()
        if not cells:
            continue
        if not names:
            names = cells
            if "" in names or len(set(names)) < len(names):
                raise UserError(
                    f"{where} names the columns {shown(names)}; expected a name of its own for "
                    "each, correct it"
                )
            continue
        if len(cells) > len(names):
            raise UserError(
                f"{where} has {len(cells)} values; expected {len(names)}, those of the columns "
                f"{shown(names)}, put a text with {separator!r} in quotes"
            )
        yield where, dict(zip_longest(names, cells, fillvalue=""))
