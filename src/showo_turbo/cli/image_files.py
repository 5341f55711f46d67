"""Image files that a command line or a line of a file names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.fields import text_field
from ..data.images import FORMATS, image_endings, image_path
from ..errors import UserError, shown
from ..utils.files import sha256_of


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
            inside = sorted(
                entry
                for entry in path.iterdir()
                if entry.suffix.lower() in endings
                and not entry.name.startswith(".")
                and (entry.is_file() or entry.is_symlink())
            )
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


def image_of_line(values: Any, key: str, file: Path, where: str) -> Path:
    """The image file that a line names.

    Args:
        values: The line's JSON object.
        key: Under which it names the image.
        file: The line's file, from whose folder the path starts.
        where: What the line is, for the message.

    Raises:
        UserError: If it names none, or it is not a file.
    """
    name = text_field(values, key, where)
    image = image_path(file.parent, name, where)
    if not image.is_file():
        raise UserError(
            f"{where} has the {key} {shown(name)}, but {image} is not a file; expected a path from "
            f"the folder of {file.name}, correct it"
        )
    return image


def checksum(file: Path) -> str:
    """SHA-256 of an image file.

    Raises:
        UserError: If it is not a file, cannot be read, or has a name that cannot be noted.
    """
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
