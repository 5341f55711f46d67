"""A folder of results that an interrupted command continues."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..utils.files import read_json, remove_leftovers, write_json, write_text
from ..utils.text_files import json_lines, read_notes

SETTINGS_FILE = "settings.json"
"""Written first: what the folder's results are made with."""


class RunFolder:
    """Results of one command with one set of settings, noted line by line as they are done.

    Nothing is written before `begin`.

    Args:
        folder: An empty one, one that does not exist, or that of the same settings.
        settings: What determines the results, as plain JSON.
        index: Name of the JSON Lines file that notes them.
        key: The entry of a note that tells which result it is.

    Attributes:
        notes: Those of earlier runs, by their key. What is taken out before `begin` is forgotten.

    Raises:
        UserError: If the folder holds other files or results of other settings.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], index: str, key: str) -> None:
        self.folder = folder
        self.index = folder / index
        self.settings = settings
        self._expect_own()
        self.notes = {note[key]: note for note in self._read_notes(key)}

    def begin(self) -> None:
        """Make the folder ready for results.

        Raises:
            UserError: If it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # What a killed process left half-written.
            remove_leftovers(self.folder, recursive=True)
            if not (self.folder / SETTINGS_FILE).exists():
                write_json(self.folder / SETTINGS_FILE, self.settings)
            write_text(self.index, json_lines(self.notes.values()))
        except OSError as error:
            raise UserError(
                f"{self.folder} cannot be written ({error}); name another folder"
            ) from None

    def add(self, notes: Iterable[dict[str, Any]]) -> None:
        """Note finished results."""
        with open(self.index, "a", encoding="utf-8") as file:
            file.write(json_lines(notes))
            file.flush()
            os.fsync(file.fileno())

    def _expect_own(self) -> None:
        """Raise if the folder is another run's."""
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"{self.folder} is a file; name a folder for the results")
        path = self.folder / SETTINGS_FILE
        if not path.exists():
            if self.folder.exists() and any(self.folder.glob("[!.]*")):
                raise UserError(
                    f"{self.folder} holds files but no {SETTINGS_FILE}; name an empty folder"
                )
            return
        found = read_json(path)
        differences = _differences(found if isinstance(found, dict) else {}, self.settings)
        if differences:
            raise UserError(
                f"{self.folder} belongs to other settings ({', '.join(differences)}); name another "
                "folder, or ask for the same"
            )

    def _read_notes(self, key: str) -> list[dict[str, Any]]:
        """The notes of earlier runs."""
        return [
            note
            for note in read_notes(self.index)
            if isinstance(note, dict) and isinstance(note.get(key), str)
        ]


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What differs, such as `steps 4 instead of 8`; long values are only named."""
    differences = []
    for name in sorted(found.keys() | wanted.keys()):
        before, now = found.get(name), wanted.get(name)
        if before == now:
            continue
        short = max(len(str(before)), len(str(now))) <= 60
        differences.append(f"{name} {before!r} instead of {now!r}" if short else f"other {name}")
    return differences
