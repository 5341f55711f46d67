"""A lock that keeps two runs from writing one folder."""

import errno
import fcntl
import json
import logging
import os
import shlex
import socket
import stat
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from ..errors import UserError, shown

logger = logging.getLogger(__name__)

LOCK_NAME = ".lock"
_OWNER = {"host": str, "pid": int, "since": int, "command": str}
_LONGEST_COMMAND = 300
_RETRY_S = 0.05


@contextmanager
def folder_lock(folder: Path, name: str = LOCK_NAME, wait_s: float = 0) -> Iterator[None]:
    """Hold a folder for writing, against every other process on this or another machine.

    The operating system holds the lock, on an open file, and lets go of it when its owner ends in
    whatever way: no lock outlives its owner, however young, and none is broken while its owner
    lives, however old. The file says who the owner is and since when. One that is still there when
    the lock is free tells of an owner that died, which is reported.

    Args:
        folder: An existing folder.
        name: Of the lock's file; processes that hold different ones share the folder.
        wait_s: Seconds to wait for another process that holds it.

    Raises:
        UserError: If another process holds it, naming that process and the lock's age; or if the
            lock is a link or no file.
    """
    path = folder / name
    with _locked_file(path, wait_s) as file:
        previous = _read_owner(file)
        if previous:
            logger.warning("%s: taking over from %s, which has died", folder, _describe(previous))
        _write_owner(file)
        try:
            yield
        finally:
            # While it is held: whoever has opened it meanwhile looks for it again.
            path.unlink(missing_ok=True)


@contextmanager
def _locked_file(path: Path, wait_s: float) -> Iterator[TextIO]:
    """Open and lock the file that now has this name; a previous owner may just have removed it."""
    patience = time.monotonic() + wait_s
    while True:
        with _open(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < patience:
                    time.sleep(_RETRY_S)
                    continue
                owner = _describe(_read_owner(file))
                raise UserError(
                    f"{path.parent} is being written by {owner}; wait for it, stop it, or name "
                    "another folder"
                ) from None
            except OSError as error:
                logger.warning(
                    "%s cannot be locked (%s); make sure that no other run writes to it",
                    path.parent,
                    error.strerror,
                )
            if not _is_at(path, file):
                continue
            try:
                yield file
            finally:
                with suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_UN)
            return


def _open(path: Path) -> TextIO:
    """Open the file, which is going to be overwritten, so that it can be no other one's.

    Raises:
        UserError: If it is a link, or no file.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
        raise _no_lock(path) from None
    status = os.fstat(descriptor)
    # One whose name was just removed has no link at all.
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(descriptor)
        raise _no_lock(path)
    return os.fdopen(descriptor, "a+", encoding="utf-8")


def _no_lock(path: Path) -> UserError:
    return UserError(f"{path} is a link or no file; expected a lock, remove it")


def _is_at(path: Path, file: TextIO) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _read_owner(file: TextIO) -> dict[str, Any]:
    """What the file says of its owner; nothing if it is empty or cut short."""
    file.seek(0)
    try:
        owner = json.load(file)
    except (ValueError, RecursionError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _write_owner(file: TextIO) -> None:
    owner = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": int(time.time()),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }
    file.truncate(0)
    json.dump(owner, file)
    file.flush()
    os.fsync(file.fileno())


def _describe(owner: dict[str, Any]) -> str:
    """An owner in words; what `_write_owner` did not write is not trusted."""
    if any(type(owner.get(name)) is not kind for name, kind in _OWNER.items()):
        return "another process"
    if not 0 <= owner["since"] < 2**63:
        return "another process"
    age = max(0, int(time.time()) - owner["since"])
    hours, minutes, seconds = age // 3600, age // 60 % 60, age % 60
    command = textwrap.shorten(owner["command"], _LONGEST_COMMAND, placeholder="...")
    return (
        f"process {shown(owner['pid'])} on {owner['host'][:64]} (`{command}`), "
        f"begun {hours}:{minutes:02}:{seconds:02} ago"
    )
