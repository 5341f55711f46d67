"""Long JSON lists, one value after the other, so that memory holds only a part of the file."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from ..errors import UserError
from .files import open_json, read_json

_BLOCK = 2**22
"""Characters that are read at once, and more where a single value is longer."""

_SPACE = re.compile(r"[ \t\n\r]*")
_MAY_GO_ON = re.compile(r"(?:\.|[eE][+-]?)?\Z")
"""What follows a number that the end of a text has cut: `0` of `0.5`, `1.5` of `1.5e-3`."""


def read_json_list(path: Path) -> Iterator[Any] | None:
    """Give the values of a JSON file that holds a list; None if it holds something else.

    Args:
        path: The file; it is read as the values are asked for.

    Raises:
        UserError: As `read_json` does; for what is wrong further on in the file when it is come to.
    """
    with open_json(path) as file:
        opening = _Window(file).symbol()
    if opening == "[":
        return _values(path)
    read_json(path)
    return None


def _values(path: Path) -> Iterator[Any]:
    with open_json(path) as file:
        window = _Window(file)
        try:
            separator = window.take()
            if window.symbol() == "]":
                separator = window.take()
            while separator in ("[", ","):
                yield window.value()
                separator = window.take()
            if separator == "]" and not window.symbol():
                return
        except (ValueError, RecursionError):
            pass
    read_json(path)  # says what is wrong, and where
    raise UserError(f"{path} was changed while it was read; start again")


class _Window:
    """The part of a file's text that is being read.

    Args:
        file: The file.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._place = 0
        self._ended = False
        self._decode = json.JSONDecoder().raw_decode

    def symbol(self) -> str:
        """The next character that is not white space; empty at the file's end."""
        while True:
            self._place = _SPACE.match(self._text, self._place).end()  # type: ignore[union-attr]
            if self._place < len(self._text) or self._ended:
                return self._text[self._place : self._place + 1]
            self._read_on()

    def take(self) -> str:
        """The same, of which the window moves on."""
        symbol = self.symbol()
        self._place += 1
        return symbol

    def value(self) -> Any:
        """The next value.

        Raises:
            ValueError: If it is not JSON.
        """
        self.symbol()
        while True:
            try:
                value, end = self._decode(self._text, self._place)
            except (ValueError, RecursionError):
                if self._ended:
                    raise
            else:
                if self._ended or not _MAY_GO_ON.match(self._text, end):
                    self._place = end
                    return value
            self._read_on()

    def _read_on(self) -> None:
        left = self._text[self._place :]
        block = self._file.read(max(_BLOCK, len(left)))
        self._ended = not block
        self._text, self._place = left + block, 0
