"""How `generate` arranges its images: one folder, or that of GenEval (arXiv 2310.11513)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ..errors import UserError, shown
from ..utils.files import write_text
from ..utils.text_files import json_lines
from .prompt_sources import PromptEntry

Layout = Literal["flat", "geneval"]

METADATA_FILE = "metadata.jsonl"
"""In GenEval's folder of a prompt, beside `samples`: what its evaluation looks for."""


def image_files(layout: Layout, prompts: int, images_per_prompt: int) -> list[str]:
    """Names of the files of all images, prompt by prompt, within the folder.

    Args:
        layout: `flat` numbers the images, `00000.png`; `geneval` numbers the prompts, and the
            images of each, `00000/samples/0000.png`.
        prompts: Number of prompts.
        images_per_prompt: How many images of each.
    """
    if layout == "geneval":
        return [
            f"{prompt:05d}/samples/{number:04d}.png"
            for prompt in range(prompts)
            for number in range(images_per_prompt)
        ]
    count = prompts * images_per_prompt
    digits = max(5, len(str(count - 1)))
    return [f"{index:0{digits}d}.png" for index in range(count)]


def check_metadata(layout: Layout, entries: Sequence[PromptEntry]) -> None:
    """Raise if a prompt lacks what the evaluation of a layout needs.

    Raises:
        UserError: If it is GenEval's, and one has no text `tag` or no list `include`.
    """
    for entry in entries if layout == "geneval" else ():
        for name, kind in (("tag", str), ("include", list)):
            if not isinstance(value := entry.metadata.get(name), kind):
                raise UserError(
                    f"the prompt {shown(entry.text)} has {shown(value)} for {name!r}; expected "
                    "prompts with 'tag' and 'include', as GenEval's evaluation_metadata.jsonl has "
                    "them, name that file or leave out --layout"
                )


def write_metadata(layout: Layout, folder: Path, entries: Sequence[PromptEntry]) -> None:
    """Write what a layout has beside the images, as far as it is not there yet."""
    for number, entry in enumerate(entries if layout == "geneval" else ()):
        path = folder / f"{number:05d}" / METADATA_FILE
        if not path.exists():
            write_text(path, json_lines([{**entry.metadata, "prompt": entry.text}]))
