"""Images with captions in tar files, as WebDataset and img2dataset write them."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ..errors import BadSample, UserError, shown
from .fields import text_field, written

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm")
"""File name endings of images."""

TEXT, RECORD = ".txt", ".json"
"""How members of a caption end: a text, or a record with the key `caption`."""

CAPTION_KEY = "caption"


class Member(NamedTuple):
    """A sample of a tar file: where its parts are.

    Attributes:
        key: What its members have in common.
        picture: Offset and size of the image in bytes.
        caption: Offset and size of the caption.
        is_record: Whether the caption is in a record of JSON.
    """

    key: str
    picture: tuple[int, int]
    caption: tuple[int, int]
    is_record: bool


def read_members(path: Path) -> list[Member]:
    """Read the headers of a tar file; what is between them is skipped.

    Members of one sample follow each other and have a name in common up to the first dot. Those
    that are neither its image nor its caption, such as labels, are passed over.

    Raises:
        UserError: If it is not a tar file, is cut, compressed or empty, or a sample is not an
            image with a caption.
    """
    found: list[Member] = []
    for key, parts in _samples(path):
        images = [parts[end] for end in IMAGES if end in parts]
        caption = parts.get(TEXT, parts.get(RECORD))
        if len(images) != 1 or caption is None:
            has = " and ".join(sorted(parts)) or "nothing"
            raise UserError(
                f"{path} has the sample {shown(key)} with {has}; expected an image "
                f"({', '.join(IMAGES)}) and a caption ({TEXT} or {RECORD}) side by side, write "
                "it again or remove it"
            )
        found.append(Member(key, images[0], caption, TEXT not in parts))
    if not found:
        raise UserError(f"{path} holds no samples; expected images with captions, remove it")
    if len({member.key for member in found}) < len(found):
        raise UserError(
            f"{path} has members of one sample apart from each other; expected them side by side, "
            "sort and write it again"
        )
    return found


def _samples(path: Path) -> Iterator[tuple[str, dict[str, tuple[int, int]]]]:
    """The samples of a tar file: their keys, and offset and size of each part by its ending."""
    key, parts = None, dict[str, tuple[int, int]]()
    size = path.stat().st_size if path.is_file() else 0
    try:
        # Not compressed: a member is read where it is.
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.size < 0:  # it would be read again and again
                    raise tarfile.ReadError(f"{shown(member.name)} has a negative size")
                if not member.isfile():
                    continue
                if member.issparse():
                    name = shown(member.name)
                    raise tarfile.ReadError(f"{name} is sparse, write it without --sparse")
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError("unexpected end of data")
                folder, _, name = member.name.rpartition("/")
                stem, dot, ending = name.partition(".")
                own = f"{folder}/{stem}".lstrip("/")
                if own != key and key is not None:
                    yield key, parts
                if own != key:
                    key, parts = own, {}
                ending = f"{dot}{ending}".lower()
                if ending in (*IMAGES, TEXT, RECORD):
                    if ending in parts:
                        raise UserError(
                            f"{path} has {shown(member.name)} twice; expected it once, remove one"
                        )
                    parts[ending] = (member.offset_data, member.size)
            end = archive.offset
        # Cut between members, it would only seem to be shorter.
        with open(path, "rb") as file:
            file.seek(end)
            if file.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
                raise tarfile.ReadError("it does not end as tar files do")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; expected a tar file, name another") from None
    except UserError:
        raise
    # Damaged headers raise errors of many kinds.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path} cannot be read as a tar file ({reason}); expected one without compression, "
            "restore or remove it"
        ) from None
    if key is not None:
        yield key, parts


def read_image_bytes(path: Path, member: Member) -> bytes:
    """The bytes of a sample's image.

    Raises:
        UserError: If the file has become shorter.
    """
    with open(path, "rb") as file:
        return _read(file, path, member.picture)


def read_caption(path: Path, member: Member) -> str:
    """The caption of a sample.

    Raises:
        BadSample: If it is not a text, or empty.
        UserError: If the file has become shorter.
    """
    where = name_of(member, path)
    with open(path, "rb") as file:
        caption = _read(file, path, member.caption)
    try:
        text: Any = caption.decode("utf-8-sig")
        if member.is_record:
            return text_field(json.loads(text), CAPTION_KEY, where)
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise BadSample(
            f"{where} has a caption that cannot be read ({' '.join(str(error).split())}); expected "
            "UTF-8 text, correct or remove it"
        ) from None
    return written(text, "the caption", where)


def name_of(member: Member, path: Path) -> str:
    """What a sample of a tar file is called in messages."""
    return f"{member.key} of {path}"


def _read(file: Any, path: Path, place: tuple[int, int]) -> bytes:
    offset, size = place
    file.seek(offset)
    content: bytes = file.read(size)
    if len(content) < size:
        raise UserError(f"{path} has become shorter while it is read; restore it")
    return content


def is_tar(path: Path) -> bool:
    """Whether a file is a tar file by its name."""
    return PurePosixPath(path.name).suffix.lower() == ".tar"
