"""Zip archives, unpacked so that an interruption costs little and nothing leaves its folder."""

import shutil
import zipfile
import zlib
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from ..errors import UserError
from ..utils.files import write_atomically
from ..utils.progress import progress_bar


def unpack(archive: Path, folder: Path, members: Sequence[str] = ("*",)) -> int:
    """Unpack an archive; files that are there with their size already are left as they are.

    Each file is checked against its CRC as it is written, under a temporary name.

    Args:
        archive: A zip archive.
        folder: Where its members go.
        members: Patterns of the members that are wanted.

    Returns:
        How many files of it are there now.

    Raises:
        UserError: If the archive is damaged, or a member's name leads out of the folder.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [
                entry
                for entry in opened.infolist()
                if not entry.is_dir() and any(fnmatch(entry.filename, name) for name in members)
            ]
            for entry in entries:
                _expect_inside(archive, entry.filename)
            with progress_bar(f"files of {archive.name}", len(entries)) as advance:
                for entry in entries:
                    path = folder / entry.filename
                    if not path.is_file() or path.stat().st_size != entry.file_size:
                        with (
                            write_atomically(path) as temporary,
                            opened.open(entry) as source,
                            open(temporary, "wb") as target,
                        ):
                            shutil.copyfileobj(source, target)
                    advance(1)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError(
            f"{archive} is damaged ({error}); remove it, then give the command again"
        ) from None
    return len(entries)


def _expect_inside(archive: Path, name: str) -> None:
    """Raise on a name that leads out of the folder."""
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or "\\" in name:
        raise UserError(
            f"{archive} holds a file named {name!r}, which leads out of the folder; expected "
            "names within it, do not use this archive"
        )
