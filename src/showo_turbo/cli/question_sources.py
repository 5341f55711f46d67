"""Questions about images, from the command line, JSON Lines and tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.fields import text_field
from ..data.records import read_records
from ..errors import UserError
from .image_files import find_clips, find_images, image_of_line
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
    images: Sequence[str], question: str | None, file: Path | None, clips: bool = False
) -> list[ImageQuestion]:
    """All questions: one about all images, or those of a file.

    Args:
        images: Image files, and folders of them.
        question: What to ask about each.
        file: One JSON object a line, or one row of a `.csv` or `.tsv` table, with `image`, a path
            inside the file's folder, and `question`. Empty lines are passed over. It takes the
            place of `images` and `question`.
        clips: Whether the questions are about clips, which folders of frames are, too.

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
        return _read_file(file, clips)
    if question is None:
        raise UserError(
            "there is no question; give one with --question, or a file of images and questions "
            "with --questions_file"
        )
    if not question.strip():
        raise UserError("the question is empty; expected a text, write one")
    return [
        ImageQuestion(path, question) for path in (find_clips if clips else find_images)(images)
    ]


def _read_file(file: Path, clips: bool) -> list[ImageQuestion]:
    questions = [_parse(values, file, where, clips) for where, values in read_records(file)]
    if not questions:
        raise UserError(
            f"{file} holds no questions; expected one JSON object a line with image and question, "
            "write some"
        )
    return questions


def _parse(values: Any, file: Path, where: str, clips: bool) -> ImageQuestion:
    image = image_of_line(values, "image", file, where, folders=clips)
    text = text_field(values, "question", where)
    return ImageQuestion(image, text, other_values(values, ("image", "question"), where))
