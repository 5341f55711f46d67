"""Reading and writing files so that nothing is ever half-written."""

import csv
import errno
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeGuard

from ..errors import UserError
from .text_files import ENCODING

_REFUSALS = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
)
_LARGEST_JSON = 4 * 2**30  # the largest annotations that are in use have 1 to 2 GB


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; on success fsync it and rename it to `path`.

    A reader sees the old file or the whole new one, never a part. If the block raises, `path` is
    untouched and the temporary file is removed.

    Args:
        path: Where the file must end up. Parent folders are made.

    Raises:
        UserError: If the disk is full.
    """
    path = Path(path)
    try:
        with _write_atomically(path) as temporary:
            yield temporary
    except Exception as error:
        if is_out_of_space(error):
            raise UserError(
                f"{path} cannot be written: no space is left; make room and start again, "
                "what is done is kept"
            ) from error
        raise


@contextmanager
def _write_atomically(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "r+b") as file:  # Windows syncs only what may be written
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def replace_link(link: Path, target: Path) -> None:
    """Have a relative symbolic link lead to a file from one moment to the next.

    Args:
        link: Its place; a file or another link there is replaced.
        target: Where it leads.
    """
    temporary = link.with_name(f".{link.name}.link.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(target, link.parent))
    os.replace(temporary, link)


def remove_leftovers(folder: Path, recursive: bool = False) -> None:
    """Remove what processes that died left half-written in a folder; none may be writing there.

    Args:
        folder: Where to look.
        recursive: Whether to look in all its subfolders too.
    """
    # What `write_atomically` calls its temporary files, and what safetensors calls its own.
    for pattern in (".*.tmp", ".tmp??????"):
        for path in folder.rglob(pattern) if recursive else folder.glob(pattern):
            path.unlink(missing_ok=True)


def is_out_of_space(error: BaseException | None) -> bool:
    """Whether an error, or one that it followed from, says that a disk or a quota is full."""
    while error is not None:
        number = getattr(error, "errno", None)
        # safetensors gives the system's error as text.
        if number in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def is_refused(error: BaseException) -> TypeGuard[OSError]:
    """Whether an error says that a place is of the wrong kind, or not for this user."""
    return isinstance(error, OSError) and error.errno in _REFUSALS and error.filename is not None


def write_text(path: Path, text: str) -> None:
    """Write a text, atomically."""
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table with a first row of names, atomically; cells that a row lacks are empty."""
    with (
        write_atomically(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: If the file is missing, unreadable, larger than 4 GiB or not JSON.
    """
    with open_json(path) as file:
        text = file.read()
    return parse_json(text, str(path))


@contextmanager
def open_json(path: Path) -> Iterator[TextIO]:
    """Open a JSON file as text; see `read_json`, whose errors are raised for what is read in it."""
    try:
        with open(path, encoding=ENCODING, opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UserError(f"{path} is not a regular file; expected JSON, name another")
            if status.st_size > _LARGEST_JSON:
                raise UserError(
                    f"{path} has {status.st_size:,} bytes; expected JSON of at most "
                    f"{_LARGEST_JSON:,}, name another file or split it"
                )
            yield file
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; expected a JSON file, correct the name") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}); expected JSON, restore it") from None


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe without a writer would be waited for, but on Windows."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def parse_json(text: str, where: str) -> Any:
    """Read a JSON value.

    Args:
        text: What to read.
        where: What it is, for the message.

    Raises:
        UserError: If it is not JSON.
    """
    try:
        return json.loads(text)
    # A number of thousands of digits is a plain ValueError.
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not valid JSON ({error}); correct or restore it") from None


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; some file systems cannot sync a folder, which is not an error."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
