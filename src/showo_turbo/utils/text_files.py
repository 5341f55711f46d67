"""Reading text as people's programs write it, line by line or as JSON Lines."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import UserError

ENCODING = "utf-8-sig"
"""UTF-8, with or without the byte order mark that some programs begin a file with."""


def read_text(path: Path) -> str:
    """Read a text file; its lines end with a newline, however they end in the file.

    Raises:
        UserError: If the file is missing or not UTF-8 text.
    """
    try:
        return Path(path).read_text(encoding=ENCODING)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; expected a text file, correct the name") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}); expected text, restore it") from None


def split_lines(text: str) -> list[str]:
    """The lines of a text, which newlines alone separate.

    `str.splitlines` also cuts at a form feed, at U+0085, U+2028 and others, which JSON and people
    leave as they are within a text.
    """
    return text.split("\n")


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Read the lines of a text file that are not empty, each with its number, from 1.

    Raises:
        UserError: If the file is missing or not UTF-8 text.
    """
    lines = enumerate(split_lines(read_text(path)), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def json_lines(values: Iterable[Any]) -> str:
    """JSON values one a line, with the characters of their texts as they are."""
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


def read_notes(path: Path) -> list[Any]:
    """Read the JSON values, one a line, that a run has noted; a file that is missing has none.

    A line that a crash cut short is left out.
    """
    if not path.exists():
        return []
    notes = []
    for line in split_lines(path.read_text(encoding=ENCODING, errors="replace")):
        try:
            notes.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return notes
