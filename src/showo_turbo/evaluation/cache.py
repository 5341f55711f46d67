"""Finished measurements on disk, so that an interrupted evaluation goes on where it stopped."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from ..errors import UserError
from ..utils.files import read_json, write_json
from ..utils.hashing import fingerprint_lines
from .image_scores import ImageScore
from .text_scores import TextScore

Score = TypeVar("Score", ImageScore, TextScore)


class ScoreCache:
    """Keeps every score as a small JSON file, named after what it depends on.

    Args:
        folder: Where the files go.

    Attributes:
        seconds: Time that all scores asked for took to measure, whenever that was.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds = 0.0

    def get(self, kind: type[Score], key: Mapping[str, Any], measure: Callable[[], Score]) -> Score:
        """The score with this key: read, or else measured and kept.

        A file that cannot be read is measured again.

        Args:
            kind: `ImageScore` or `TextScore`.
            key: All that the score depends on, as JSON values.
            measure: Measures it.
        """
        path = self.folder / f"{fingerprint_lines([kind.__name__, dict(key)])[:24]}.json"
        if path.is_file():
            try:
                entry = read_json(path)
                score = kind(**{name: _tuples(value) for name, value in entry["score"].items()})
                self.seconds += entry["seconds"]
                return score
            except (UserError, TypeError, KeyError, AttributeError):
                pass
        began = time.perf_counter()
        score = measure()
        seconds = time.perf_counter() - began
        write_json(path, {"key": dict(key), "seconds": seconds, "score": asdict(score)})
        self.seconds += seconds
        return score


def _tuples(value: Any) -> Any:
    """JSON knows lists only; the scores hold tuples."""
    return tuple(value) if isinstance(value, list) else value
