"""Images of classes in folders, as ImageNet has them: the name of a class is the caption."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError, shown
from ..utils.text_files import read_lines
from .bad_samples import Skip, refuse
from .images import FORMATS, image_endings, load_image
from .sources import CaptionSource
from .streams import StreamDataset
from .transparency import BACKGROUND, check_background

_LINE = re.compile(r"(\d+)\s*:\s*(.*?),?")
_QUOTED = re.compile(r"([\"'])(.*)\1")


@dataclass(frozen=True)
class ClassFolders(CaptionSource):
    """Images in one folder per class, the folders sorted by name; class-conditional generation.

    Args:
        images: Folder of the classes' folders, such as `imagenet/train`; what is in these is
            searched with its subfolders.
        names: File of the classes' names, one `index: name` a line, from 0 in the order of the
            folders; by default the folders' own names, with spaces for underscores.
        background: Color that shows through transparent parts of the images, such as `black` or
            `#808080`.

    Source: stage 1 of Show-o (arXiv 2408.12528, section 3.3), ImageNet's images by class names.
    """

    images: Path
    names: Path | None = None
    background: str = BACKGROUND

    def __post_init__(self) -> None:
        check_background(self.background)

    def captions(self, skip: Skip = refuse) -> list[str]:
        """The name of every image's class; no image is read."""
        return [name for _, name in self._files()]

    def open(self, resolution: int, skip: Skip = refuse) -> "ClassPictures":
        """Look for the images; they come as squares of `resolution` pixels."""
        return ClassPictures(self._files(), resolution, self.background)

    def _files(self) -> list[tuple[Path, str]]:
        """The files with the names of their classes.

        Raises:
            UserError: If there are none, a class has none, or there are other names than classes.
        """
        if not self.images.is_dir():
            raise UserError(
                f"{self.images} is not a folder; expected one with a folder for each class, name "
                "another"
            )
        folders = sorted(
            path
            for path in self.images.iterdir()
            if path.is_dir() and not path.name.startswith(".")
        )
        if not folders:
            raise UserError(
                f"{self.images} holds no folders; expected one for each class, name another"
            )
        names = [folder.name.replace("_", " ") for folder in folders]
        if self.names is not None:
            names = read_class_names(self.names)
            if len(names) != len(folders):
                raise UserError(
                    f"{self.names} names {len(names)} classes, but {self.images} has "
                    f"{len(folders)} folders; expected a name for each, correct one of them"
                )
        endings = image_endings()
        found = []
        for folder, name in zip(folders, names, strict=True):
            files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in endings)
            if not files:
                raise UserError(
                    f"{folder} holds no images ({', '.join(FORMATS)}); expected those of the class "
                    f"{shown(name)}, add some or remove the folder"
                )
            found += [(path, name) for path in files]
        return found


class ClassPictures(StreamDataset):
    """Images with the names of their classes.

    A sample is `{"pixels": (3, resolution, resolution), "caption": str, "image_id": int, "seed":
    int}`.

    Args:
        pictures: The files, and the names of their classes.
        resolution: Side length in pixels.
        background: Color that shows through transparent parts of the images.
    """

    def __init__(
        self, pictures: Sequence[tuple[Path, str]], resolution: int, background: str = BACKGROUND
    ) -> None:
        self.pictures = pictures
        self.resolution = resolution
        self.background = background

    def __len__(self) -> int:
        """Number of images."""
        return len(self.pictures)

    def draw(self, index: int, seed: int) -> dict[str, Any]:
        """The image at `index`; `seed` is unused."""
        path, name = self.pictures[index]
        return {
            "pixels": load_image(path, self.resolution, self.background),
            "caption": name,
            "image_id": index,
            "seed": seed,
        }


def read_class_names(file: Path) -> list[str]:
    """Read names of classes, one `index: name` a line; braces, quotes and commas are left out.

    Raises:
        UserError: If a line is something else, or the indices are not 0, 1, 2, ... in any order.
    """
    names: dict[int, str] = {}
    for number, line in read_lines(file):
        text = line.strip().removeprefix("{").removesuffix("}").strip()
        if not text:
            continue
        match = _LINE.fullmatch(text)
        name = _QUOTED.sub(r"\2", match[2].strip()) if match else ""
        if not match or not name:
            raise UserError(
                f"line {number} of {file} is {shown(line)}; expected a number and a name such as "
                "'0: tench', correct or remove it"
            )
        if int(match[1]) in names:
            raise UserError(
                f"line {number} of {file} names class {match[1]} again; expected each once, remove "
                "one of them"
            )
        names[int(match[1])] = name
    if sorted(names) != list(range(len(names))) or not names:
        missing = next(index for index in range(len(names) + 1) if index not in names)
        raise UserError(
            f"{file} names {len(names)} classes, but not class {missing}; expected those from 0 "
            "on, add it"
        )
    return [names[index] for index in range(len(names))]
