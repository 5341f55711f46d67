"""Files over HTTP: continued where they broke off, and checked when they are whole."""

import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..models.weight_files import first_line
from ..utils.files import is_out_of_space, read_json, write_json
from ..utils.progress import progress_bar
from ..version import __version__

CHUNK = 2**20
ATTEMPTS = 5
"""How often in a row a file may break off without a byte being gained."""

_PATIENCE = 60.0
_NOT_SATISFIABLE = 416


@dataclass(frozen=True)
class Expected:
    """What a whole file must be.

    Attributes:
        size: Bytes, where they are known.
        sha256: Hexadecimal digest, where it is known.
        md5: Likewise, of sources that say no better one.
    """

    size: int | None = None
    sha256: str | None = None
    md5: str | None = None


def fetch(address: str, path: Path, expected: Expected = Expected(), pause: float = 1.0) -> str:
    """Fetch a file; one that has broken off is continued, by the same command if need be.

    What has arrived is kept in `<name>.part` beside it; the file gets its name once it is whole and
    has been checked.

    Args:
        address: Where it is, with `http` or `https`.
        path: Where it goes.
        expected: What it must be.
        pause: Seconds before the second attempt; they double from one to the next.

    Returns:
        Its SHA-256.

    Raises:
        UserError: If it breaks off again and again, or is another file than expected.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _continue(address, part, expected)
            break
        except (OSError, http.client.HTTPException) as error:
            if is_out_of_space(error):
                raise
            gained = part.stat().st_size - before if part.exists() else 0
            failures = 0 if gained > 0 else failures + 1
            if failures >= ATTEMPTS or _is_final(error):
                have = part.stat().st_size if part.exists() else 0
                raise UserError(
                    f"{address} broke off at {have:,} bytes ({first_line(error)}); see to the "
                    "connection, then give the same command again to continue"
                ) from error
            time.sleep(pause * 2 ** max(0, failures - 1))
    found = _check(address, part, expected)
    os.replace(part, path)
    _note_of(part).unlink(missing_ok=True)
    return found


def _continue(address: str, part: Path, expected: Expected) -> None:
    """Append what is missing; raise if the connection ends before the file does."""
    have = part.stat().st_size if part.exists() else 0
    note = _read_note(part)
    # A server that knows no version of the file gives no proof that it is the same.
    version = note.get("version") if note.get("address") == address else None
    headers = {"User-Agent": f"showo-turbo/{__version__}", "Accept-Encoding": "identity"}
    if have and version:
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    try:
        answer = urllib.request.urlopen(
            urllib.request.Request(address, headers=headers), timeout=_PATIENCE
        )
    except urllib.error.HTTPError as error:
        if error.code == _NOT_SATISFIABLE and have:
            return  # nothing is missing; the check tells whether it is the file
        raise
    with answer:
        continued = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        begin = have if continued else 0
        length = answer.headers.get("Content-Length")
        total = begin + int(length) if length is not None else expected.size
        _expect_room(part, (total or 0) - begin)
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        if version is not None and version.startswith("W/"):
            version = answer.headers.get("Last-Modified")
        write_json(_note_of(part), {"address": address, "version": version})
        megabytes = -(-(total or 0) // CHUNK)
        with (
            open(part, "ab" if continued else "wb") as file,
            progress_bar(f"{part.name.removesuffix('.part')}, MiB", megabytes) as advance,
        ):
            advance(begin // CHUNK)
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                advance(len(chunk) // CHUNK)
            file.flush()
            os.fsync(file.fileno())
        if total is not None and part.stat().st_size < total:
            raise http.client.IncompleteRead(b"", total - part.stat().st_size)


def _expect_room(part: Path, missing: int) -> None:
    """Raise before a file is begun that the disk cannot hold."""
    free = shutil.disk_usage(part.parent).free
    if missing > free:
        raise UserError(
            f"{part} needs {missing:,} bytes and the disk has {free:,}; make room, then give the "
            "same command again"
        )


def _check(address: str, part: Path, expected: Expected) -> str:
    """The SHA-256 of a whole file; raise, and remove it, if it is another one than expected."""
    digests = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    with open(part, "rb") as file:
        while chunk := file.read(CHUNK):
            for digest in digests.values():
                digest.update(chunk)
    found = {"size": part.stat().st_size} | {k: v.hexdigest() for k, v in digests.items()}
    for name, value in found.items():
        wanted = getattr(expected, name)
        if wanted is not None and wanted != value:
            part.unlink()
            _note_of(part).unlink(missing_ok=True)
            raise UserError(
                f"{address} has the {name} {value}; expected {wanted}: the file was damaged on its "
                "way or has changed, so that it was removed; give the command again"
            )
    return str(found["sha256"])


def _is_final(error: BaseException) -> bool:
    """Whether a server has said no, so that asking again is of no use."""
    return isinstance(error, urllib.error.HTTPError) and 400 <= error.code < 500


def _note_of(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_note(part: Path) -> dict[str, Any]:
    """Which version of which file has been begun."""
    path = _note_of(part)
    found = read_json(path) if path.is_file() else {}
    return found if isinstance(found, dict) else {}
