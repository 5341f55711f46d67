"""A lock that keeps two processes from writing one folder, with a note of who holds it."""

import errno
import json
import logging
import math
import os
import shlex
import socket
import stat
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from ..errors import UserError, shown

logger = logging.getLogger(__name__)

LOCK_NAME = ".lock"
OWNER_SUFFIX = ".owner"
"""What the name of the note ends with that says who holds a lock."""

_LONGEST_COMMAND = 300
_MOMENT_S = 1.0


@contextmanager
def folder_lock(folder: Path, name: str = LOCK_NAME, wait_s: float = 0) -> Iterator[None]:
    """Hold a folder for writing, against every other process on this or another machine.

    The operating system holds the lock, on an open file, and lets go of it when its owner ends in
    whatever way: no lock outlives its owner, however young, and none is broken while its owner
    lives, however old. A note beside it says who the owner is and since when. One that is still
    there when the lock is free tells of an owner that died, which is reported.

    Args:
        folder: An existing folder.
        name: Of the lock's file; processes that hold different ones share the folder.
        wait_s: Seconds to wait for another process that holds it; infinite to wait for its end.

    Raises:
        UserError: If another process holds it, naming that process and the lock's age; or if the
            lock is a link or no file.
    """
    path, note = folder / name, folder / f"{name}{OWNER_SUFFIX}"
    for file in (path, note):
        _expect_own(file)
    lock = FileLock(path)
    try:
        _acquire(lock, folder, note, wait_s)
        if note.exists():
            logger.warning("%s: taking over from %s, which has died", folder, _owner_of(note))
        _write_owner(note)
        yield
    finally:
        if lock.is_locked:
            note.unlink(missing_ok=True)
            # While it is held: a process that has opened it meanwhile opens it again.
            path.unlink(missing_ok=True)
            lock.release()


def _expect_own(path: Path) -> None:
    """Raise on what may be another's file, for it would be overwritten."""
    with suppress(FileNotFoundError):
        status = path.lstat()
        # A lock whose name was just removed has no link at all.
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise UserError(f"{path} is a link or no file; expected a lock, remove it")


def _acquire(lock: BaseFileLock, folder: Path, note: Path, wait_s: float) -> None:
    """Acquire the lock, and say so if that takes more than a moment."""
    try:
        try:
            lock.acquire(timeout=min(_MOMENT_S, wait_s))
        except Timeout:
            if wait_s <= _MOMENT_S:
                raise
            most = f" at most {wait_s:g} s" if math.isfinite(wait_s) else ""
            logger.warning("%s is locked by %s; waiting%s", folder, _owner_of(note), most)
            lock.acquire(timeout=wait_s - _MOMENT_S if math.isfinite(wait_s) else -1)
    except Timeout:
        raise UserError(
            f"{folder} is being written by {_owner_of(note)}; wait for it, stop it, or name "
            "another folder"
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
            raise
        reason = os.strerror(error.errno)
        logger.warning(
            "%s cannot be locked (%s); make sure that no other run writes to it", folder, reason
        )


def _write_owner(note: Path) -> None:
    owner = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": int(time.time()),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }
    note.write_text(json.dumps(owner), encoding="utf-8")


def _owner_of(note: Path) -> str:
    """The owner in words; what `_write_owner` did not write is not trusted."""
    try:
        owner = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return "another process"
    kinds = {"host": str, "pid": int, "since": int, "command": str}
    if not isinstance(owner, dict) or any(
        type(owner.get(name)) is not kind for name, kind in kinds.items()
    ):
        return "another process"
    if not 0 <= owner["since"] < 2**63:
        return "another process"
    age = timedelta(seconds=max(0, int(time.time()) - owner["since"]))
    command = textwrap.shorten(owner["command"], _LONGEST_COMMAND, placeholder="...")
    return f"process {shown(owner['pid'])} on {owner['host'][:64]} (`{command}`), begun {age} ago"
