"""Prompts to generate images for, in GenEval's layout (Ghosh et al., arXiv 2310.11513)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from .fields import text_field
from .records import read_records
from .streams import StreamDataset

NO_CATEGORY = "all"
"""The category of prompts that name none."""


class PromptFile(StreamDataset):
    """The prompts of a file of JSON Lines or of a table.

    A sample is `{"prompt": str, "category": str, "metadata": dict, "split": str, "seed": int}`:
    the keys `prompt` and `tag` of the record, the whole record for whoever checks the images, and
    the name of the file without its ending. A record without a `tag` is of the category `all`.

    Args:
        path: A file such as GenEval's `evaluation_metadata.jsonl`; see `read_records`.
        per_category: Takes the first so many prompts of each category; all if missing.

    Raises:
        UserError: If the file is missing or empty, or a record has no `prompt`, or a `tag` that is
            not a text.
    """

    def __init__(self, path: Path, per_category: int | None = None) -> None:
        self.split = Path(path).stem
        if per_category is not None and per_category < 1:
            raise UserError(f"prompts_per_category is {per_category}; expected at least 1")
        self._lines = []
        taken: Counter[str] = Counter()
        for where, record in read_records(Path(path)):
            metadata = _checked(record, where)
            taken[metadata["tag"]] += 1
            if per_category is None or taken[metadata["tag"]] <= per_category:
                self._lines.append(metadata)
        if not self._lines:
            raise UserError(f"{path} holds no prompt; expected one JSON object a line, fill it")

    def __len__(self) -> int:
        """Number of prompts."""
        return len(self._lines)

    def draw(self, index: int, seed: int) -> dict[str, Any]:
        """The prompt at `index`; `seed` is unused."""
        metadata = self._lines[index]
        return {
            "prompt": metadata["prompt"],
            "category": metadata["tag"],
            "metadata": metadata,
            "split": self.split,
            "seed": seed,
        }


def _checked(record: Any, where: str) -> dict[str, Any]:
    """The metadata of one prompt; unlike those of training, a bad prompt is never left out."""
    text_field(record, "prompt", where)
    if record.get("tag") in (None, ""):  # nothing, or the empty cell of a table
        return {**record, "tag": NO_CATEGORY}
    text_field(record, "tag", where)
    return dict(record)


def shown_prompts(prompts: Sequence[Mapping[str, Any]], least: int = 6) -> list[int]:
    """Which prompts to show in a figure: the first of each category, and more where that is few.

    Args:
        prompts: Metadata of each.
        least: So many at least, as long as there are so many prompts.

    Returns:
        Indices; those of the categories first.
    """
    first: dict[str, int] = {}
    for index, entry in enumerate(prompts):
        first.setdefault(str(entry["tag"]), index)
    chosen = list(first.values())
    others = [index for index in range(len(prompts)) if index not in chosen]
    return chosen + others[: max(0, least - len(chosen))]
