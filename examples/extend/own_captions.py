"""A caption source of your own: a text file with a caption a line."""

from collections.abc import Sequence
from pathlib import Path

from showo_turbo.data import CaptionSource
from showo_turbo.data.bad_samples import Skip, refuse
from showo_turbo.errors import BadSample
from showo_turbo.utils.text_files import read_lines


class CaptionLines(CaptionSource):
    """Captions to distill on; there are no images, since the teacher generates them.

    Args:
        file: A text file in UTF-8 with a caption a line; empty lines are left out.
        longest: Longer captions, in characters, count as bad samples.
    """

    def __init__(self, file: Path, longest: int = 300) -> None:
        self.file = file
        self.longest = longest

    def captions(self, skip: Skip = refuse) -> Sequence[str]:
        """All captions of the file."""
        found = []
        for number, line in read_lines(self.file):
            if len(line) > self.longest:
                skip(BadSample(f"line {number} of {self.file} has {len(line)} characters"))
            else:
                found.append(line)
        return found
