"""Questions about images, from the command line, JSON Lines and tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from ..data.fields import text_field
from ..data.images import FORMATS, image_path
from ..data.records import read_records
from ..errors import UserError, shown
from .prompt_sources import other_values


@dataclass(frozen=True)
class ImageQuestion:
    """A question about an image.

    Attributes:
        image: The image file.
        text: The question.
        metadata: What else its line or row holds, such as the right answer.
    """

    image: Path
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)


def read_questions(
    images: Sequence[str], question: str | None, file: Path | None
) -> list[ImageQuestion]:
    """All questions: one about all images, or those of a file.

    Args:
        images: Image files, and folders of them.
        question: What to ask about each.
        file: One JSON object a line, or one row of a `.csv` or `.tsv` table, with `image`, a path
            inside the file's folder, and `question`. Empty lines are passed over. It takes the
            place of `images` and `question`.

    Raises:
        UserError: If there is no question, no image, or both and a file; if the file cannot be
            read, or a line is wrong.
    """
    if file is not None:
        if images or question is not None:
            raise UserError(
                f"questions_file {file} names images and questions, but there are others; leave "
                "out the images and --question, or --questions_file"
            )
        return _read_file(file)
    if question is None:
        raise UserError(
            "there is no question; give one with --question, or a file of images and questions "
            "with --questions_file"
        )
    if not question.strip():
        raise UserError("the question is empty; expected a text, write one")
    return [ImageQuestion(path, question) for path in find_images(images)]


def find_images(names: Sequence[str]) -> list[Path]:
    """Image files by name, and those in folders, sorted; each once.

    Of a folder, files whose names end as those of `FORMATS` do are taken. Hidden files and folders
    are passed over. A link is taken, so that one that leads to no file is noticed.

    Raises:
        UserError: If there is none, or a name is neither a file nor a folder with images.
    """
    Image.init()
    endings = {end for end, name in Image.registered_extensions().items() if name in FORMATS}
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


def _read_file(file: Path) -> list[ImageQuestion]:
    questions = [_parse(values, file, where) for where, values in read_records(file)]
    if not questions:
        raise UserError(
            f"{file} holds no questions; expected one JSON object a line with image and question, "
            "write some"
        )
    return questions


def _parse(values: Any, file: Path, where: str) -> ImageQuestion:
    name, text = text_field(values, "image", where), text_field(values, "question", where)
    image = image_path(file.parent, name, where)
    if not image.is_file():
        raise UserError(
            f"{where} has the image {shown(name)}, but {image} is not a file; expected a path from "
            "the folder of the questions file, correct it"
        )
    return ImageQuestion(image, text, other_values(values, ("image", "question"), where))
