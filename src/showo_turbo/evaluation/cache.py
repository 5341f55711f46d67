"""Finished measurements on disk, so that an interrupted evaluation goes on where it stopped."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from ..errors import UserError
from ..utils.files import read_json, write_json
from ..utils.hashing import fingerprint_lines
from ..utils.share import Share
from .ability_scores import AbilityScore
from .image_scores import ImageScore
from .text_scores import TextScore
from .variety import Variety

Score = TypeVar("Score", ImageScore, TextScore, Variety, AbilityScore)


class ScoreCache:
    """Keeps every score as a small JSON file, named after what it depends on.

    The first process reads and writes; the others get from it whether there is a score already.

    Args:
        folder: Where the files go; nothing is kept without one.
        share: This process among those that measure together.

    Attributes:
        seconds: Time that all scores asked for took to measure, whenever that was.
    """

    def __init__(self, folder: Path | None, share: Share = Share()) -> None:
        self.folder = folder
        self.share = share
        self.seconds = 0.0

    def get(self, kind: type[Score], key: Mapping[str, Any], measure: Callable[[], Score]) -> Score:
        """The score with this key: read, or else measured and kept.

        A file that cannot be read is measured again.

        Args:
            kind: `ImageScore`, `TextScore`, `Variety` or `AbilityScore`.
            key: All that the score depends on, as JSON values; not looked at without a folder.
            measure: Measures it.
        """
        path = None
        if self.folder is not None:
            path = self.folder / f"{fingerprint_lines([kind.__name__, dict(key)])[:24]}.json"
        found = self.share.broadcast(_read(kind, path) if path and self.share.is_first else None)
        if found is None:
            began = time.perf_counter()
            score = measure()
            found = score, time.perf_counter() - began
            if path and self.share.is_first:
                entry = {"key": dict(key), "seconds": found[1], "score": asdict(score)}
                write_json(path, entry)
        self.seconds += found[1]
        return found[0]


def _read(kind: type[Score], path: Path) -> tuple[Score, float] | None:
    """The score of a file, and how long it took; None if it is not there, or damaged."""
    if not path.is_file():
        return None
    try:
        entry = read_json(path)
        score = kind(**{name: _tuples(value) for name, value in entry["score"].items()})
        return score, float(entry["seconds"])
    except (UserError, TypeError, KeyError, AttributeError):
        return None


def _tuples(value: Any) -> Any:
    """JSON knows lists only; the scores hold tuples."""
    return tuple(value) if isinstance(value, list) else value
