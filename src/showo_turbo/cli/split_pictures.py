"""`showo-turbo split-pictures`: a folder of images with captions becomes data to train on."""

from collections.abc import Sequence
from pathlib import Path

from ..data.captioned import divide_pictures, read_captioned, write_split
from ..errors import UserError
from .command_line import run_function


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(split_pictures, arguments, name="split-pictures")


def split_pictures(
    images: Path,
    output: Path,
    captions: Path | None = None,
    validation: float = 0.05,
    test: float = 0.05,
    question: str = "Describe the image.",
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Split captioned images into training, validation and test sets.

    Writes captions (COCO's format), questions that the captions answer (LLaVA's format) and prompts
    (GenEval's format) of each split, and a link to the images, which stay where they are. The
    configurations in `recipes/own_pictures` read them.

    Args:
        images: Folder of the images.
        output: Folder to write to: a new or an empty one.
        captions: COCO captions (`.json`), or a table (`.csv`, `.tsv`, `.jsonl`) with the columns
            `file_name` (or `image`, `file`, `path`) and `caption` (or `text`, `prompt`); by default
            `metadata.csv` or `metadata.jsonl` among the images, or a text file beside each.
        validation: Share of the images to validate on.
        test: Share of the images to test on.
        question: What the captions are answers to.
        seed: Chooses which image goes where.
        overwrite: Split again into a folder that holds a split.
    """
    if not question.strip():
        raise UserError("question is empty; expected what the captions answer, write one")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file; expected a folder to write to, name another")
    if output.is_dir() and any(output.iterdir()) and not overwrite:
        raise UserError(f"{output} holds files; name another folder, or give --overwrite")
    shares = {"validation": validation, "test": test}
    splits = divide_pictures(read_captioned(images, captions), shares, seed)
    write_split(output, images, splits, question)
    counts = ", ".join(f"{len(pictures)} for {name}" for name, pictures in splits.items())
    print(f"images: {counts}; written to {output}")
