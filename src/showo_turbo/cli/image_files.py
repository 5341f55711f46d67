"""Image files that a command line or a line of a file names."""

from collections.abc import Container, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from ..data.clips import MOVING, VIDEOS, is_clip_file
from ..data.fields import text_field
from ..data.images import FORMATS, image_endings, image_path
from ..errors import UserError, shown
from ..utils.files import sha256_of
from ..utils.hashing import fingerprint_lines


def find_images(names: Sequence[str]) -> list[Path]:
    """Image files by name, and those in folders, sorted; each once.

    Of a folder, files whose names end as those of `FORMATS` do are taken. Hidden files and folders
    are passed over. A link is taken, so that one that leads to no file is noticed.

    Raises:
        UserError: If there is none, or a name is neither a file nor a folder with images.
    """
    endings = image_endings()
    files: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = _files_in(path, endings)
            if not inside:
                raise UserError(
                    f"{path} holds no images ({', '.join(FORMATS)}); name image files or a folder "
                    "of them"
                )
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            raise UserError(f"{path} does not exist; name image files or a folder of them")
    if not files:
        raise UserError("there are no images; name image files or a folder of them")
    return list(dict.fromkeys(files))


def find_clips(names: Sequence[str]) -> list[Path]:
    """Clips by name: files, folders of frames, and the clips in other folders; each once.

    A folder that holds a video or an animated image is a folder of clips, one that holds images
    alone is a clip.

    Raises:
        UserError: If there is none, or a name is neither a file nor a folder with clips or frames.
    """
    endings = image_endings() | {*MOVING, *VIDEOS}
    found = []
    for name in names:
        path = Path(name)
        if not path.is_dir():
            found.append(find_images([name]))
            continue
        files = _files_in(path, endings)
        if not files:
            raise UserError(
                f"{path} holds no clips ({', '.join((*MOVING, *VIDEOS))}) and no frames; name "
                "clips, a folder of frames or a folder of clips"
            )
        found.append(files if any(map(is_clip_file, files)) else [path])
    if not found:
        raise UserError("there are no clips; name files, folders of frames or folders of clips")
    return list(dict.fromkeys(chain.from_iterable(found)))


def image_of_line(values: Any, key: str, file: Path, where: str, folders: bool = False) -> Path:
    """The image file that a line names.

    Args:
        values: The line's JSON object.
        key: Under which it names the image.
        file: The line's file, from whose folder the path starts.
        where: What the line is, for the message.
        folders: Whether it may also be a folder of frames.

    Raises:
        UserError: If it names none, or it is not a file.
    """
    name = text_field(values, key, where)
    image = image_path(file.parent, name, where)
    if not (image.is_file() or (folders and image.is_dir())):
        raise UserError(
            f"{where} has the {key} {shown(name)}, but {image} is not a file; expected a path from "
            f"the folder of {file.name}, correct it"
        )
    return image


def checksum(file: Path, folders: bool = False) -> str:
    """SHA-256 of an image file.

    Args:
        file: The file.
        folders: Whether it may also be a folder of frames, of which it is that of all of them.

    Raises:
        UserError: If it is not a file, cannot be read, or has a name that cannot be noted.
    """
    if folders and file.is_dir():
        inside = _files_in(file, image_endings())
        return fingerprint_lines([[entry.name, checksum(entry)] for entry in inside])
    if not file.is_file():  # what never ends, such as a link to a device, is not opened
        raise UserError(
            f"{file} is not a file and does not lead to one; expected an image, replace or remove "
            "it"
        )
    try:
        str(file).encode("utf-8")
        return sha256_of(file)
    except UnicodeEncodeError:
        raise UserError(f"{file} has a name that is not UTF-8; expected text, rename it") from None
    except OSError as error:
        raise UserError(
            f"{file} cannot be read ({error.strerror}); expected an image, replace or remove it"
        ) from None


def _files_in(folder: Path, endings: Container[str]) -> list[Path]:
    """The files of a folder whose names end so, but for hidden ones, sorted; links are files."""
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() in endings
        and not entry.name.startswith(".")
        and (entry.is_file() or entry.is_symlink())
    )
