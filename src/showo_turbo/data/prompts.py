"""Prompts to generate images for, in GenEval's layout (Ghosh et al., arXiv 2310.11513)."""

from collections import Counter
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..utils.files import parse_json, read_lines
from .fields import text_field
from .streams import StreamDataset


class PromptFile(StreamDataset):
    """The prompts of a JSON Lines file.

    A sample is `{"prompt": str, "category": str, "metadata": dict, "split": str, "seed": int}`:
    the keys `prompt` and `tag` of the line, the whole line for whoever checks the images, and the
    name of the file without its ending.

    Args:
        path: A file such as GenEval's `evaluation_metadata.jsonl`.
        per_category: Takes the first so many prompts of each category; all if missing.

    Raises:
        UserError: If the file is missing or empty, or a line is not a JSON object with `prompt` and
            `tag`.
    """

    def __init__(self, path: Path, per_category: int | None = None) -> None:
        self.split = Path(path).stem
        if per_category is not None and per_category < 1:
            raise UserError(f"prompts_per_category is {per_category}; expected at least 1")
        self._lines = []
        taken: Counter[str] = Counter()
        for number, line in read_lines(Path(path)):
            metadata = _parse(line, f"line {number} of {path}")
            taken[metadata["tag"]] += 1
            if per_category is None or taken[metadata["tag"]] <= per_category:
                self._lines.append(metadata)
        if not self._lines:
            raise UserError(f"{path} holds no prompt; expected one JSON object a line, fill it")

    def __len__(self) -> int:
        """Number of prompts."""
        return len(self._lines)

    def draw(self, index: int, seed: int) -> dict[str, Any]:
        """The prompt at `index`; there is nothing to draw."""
        metadata = self._lines[index]
        return {
            "prompt": metadata["prompt"],
            "category": metadata["tag"],
            "metadata": metadata,
            "split": self.split,
            "seed": seed,
        }


def _parse(line: str, where: str) -> dict[str, Any]:
    """The metadata of one line; unlike those of training, a bad prompt is never left out."""
    metadata = parse_json(line, where)
    text_field(metadata, "prompt", where)
    text_field(metadata, "tag", where)
    return dict(metadata)
