"""Prompts to generate images for, in GenEval's layout (Ghosh et al., arXiv 2310.11513)."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from ..errors import UserError
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
        UserError: If the file is missing or empty, or a line is no JSON object with `prompt` and
            `tag`.
    """

    def __init__(self, path: Path, per_category: int | None = None) -> None:
        self.split = Path(path).stem
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{path} cannot be read ({error}); expected a JSON Lines file"
            ) from None
        self._lines = []
        taken: Counter[str] = Counter()
        for number, line in enumerate(lines, start=1):
            if line.strip():
                metadata = _parse(line, f"line {number} of {path}")
                taken[metadata["tag"]] += 1
                if per_category is None or taken[metadata["tag"]] <= per_category:
                    self._lines.append(metadata)
        if not self._lines:
            raise UserError(f"{path} holds no prompt; expected one JSON object a line")

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
    try:
        metadata = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{where} is not valid JSON ({error}); correct or remove it") from None
    for key in ("prompt", "tag"):
        if not isinstance(metadata, dict) or not isinstance(metadata.get(key), str):
            raise UserError(f"{where} has no text {key!r}; expected GenEval's metadata")
    return dict(metadata)
