"""Folders of generated data, written once however many processes ask for them."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import UserError, shown
from ..utils.files import read_json, write_json
from ..utils.lock import folder_lock


def write_once(
    folder: Path, note: str, wanted: dict[str, Any], kind: str, write: Callable[[], None]
) -> None:
    """Write generated data to a folder, unless it holds them.

    Several processes may ask for it at the same time: one writes, the others wait.

    Args:
        folder: Where to write.
        note: Name of a JSON file, written last: a folder that has it holds all.
        wanted: What determines the data, as plain JSON; the content of that file.
        kind: What the data are, in the plural, for the message.
        write: Writes them; the folder is there.

    Raises:
        UserError: If the folder holds others, or cannot be written.
    """
    if _holds(folder / note, wanted, kind):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error}); name another folder") from None
    with folder_lock(folder, wait_s=math.inf):
        if not _holds(folder / note, wanted, kind):
            write()
            write_json(folder / note, wanted)


def _holds(note: Path, wanted: dict[str, Any], kind: str) -> bool:
    """Whether the data are there.

    Raises:
        UserError: If others are.
    """
    if not note.exists():
        return False
    found = read_json(note)
    if found != wanted:
        raise UserError(
            f"{note.parent} holds other {kind} ({shown(found)}), asked for {wanted}; name another "
            "folder or delete this one"
        )
    return True
