"""Says whether a clip of moving shapes shows what its caption says, frame by frame."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..trajectories.checker import Checker, PromptMetadata
from ..utils.images import to_bytes
from .checker import Located, LocatedReading, locate_shapes
from .clips import DIRECTIONS, FRAMES, Mover

TOLERANCE = 1
"""Pixels that a shape may be off its way, in either direction."""


def read_frame(pixels: NDArray[np.uint8]) -> LocatedReading | None:
    """What one frame `(24, 24, 3)` shows; None where it cannot be read."""
    (reading,) = locate_shapes(pixels[None])
    return None if reading.reason else reading


def find_fault(frames: NDArray[np.uint8], prompt: PromptMetadata) -> str:
    """What is wrong with a clip as an answer to a prompt.

    In every frame there must be exactly the shapes that are asked for, each where it should have
    moved to from where the first frame shows it, within a pixel, and the first frame must show it
    at the edge that it comes from. The background must be the same throughout, and the one that is
    named, if one is.

    Args:
        frames: RGB, uint8 `(17, 24, 24, 3)`.
        prompt: What `ClipScene.to_metadata` gives.

    Returns:
        One short sentence, empty when the clip is right.
    """
    if len(frames) != FRAMES:
        return f"{len(frames)} frames instead of {FRAMES}"
    readings = locate_shapes(frames)
    asked = Counter((entry["shape"], entry["color"]) for entry in prompt["movers"])
    for number, reading in enumerate(readings):
        if reading.reason:
            return f"frame {number}: {reading.reason}"
        if reading.background != prompt.get("background", readings[0].background):
            return f"frame {number}: a {reading.background} background"
        if Counter((item.shape, item.color) for item in reading.objects) != asked:
            return f"frame {number}: other shapes than asked for"
    for entry in prompt["movers"]:
        if fault := _way_fault(readings, entry, prompt["level"]):
            return fault
    return ""


def _way_fault(readings: Sequence[LocatedReading], entry: Mapping[str, Any], level: Any) -> str:
    """What is wrong with the way of one shape."""
    places = [_find(reading, entry) for reading in readings]
    # The lane is not asked for: it is where the first frame shows the shape.
    horizontal = entry["direction"] in ("right", "left")
    mover = Mover(entry["shape"], entry["color"], entry["direction"], 0)
    across = places[0].top if horizontal else places[0].left
    for number, place in enumerate(places):
        top, left = mover.corner(number, level)
        expected = (across, left) if horizontal else (top, across)
        off = max(abs(place.top - expected[0]), abs(place.left - expected[1]))
        if off > TOLERANCE:
            return f"frame {number}: the {entry['color']} {entry['shape']} is {off} pixels off"
    return ""


def _find(reading: LocatedReading, entry: Mapping[str, Any]) -> Located:
    wanted = (entry["shape"], entry["color"])
    return next(item for item in reading.objects if (item.shape, item.color) == wanted)


class ClipsChecker(Checker):
    """The exact checker of clips of moving shapes."""

    def can_judge(self, prompt: PromptMetadata) -> bool:
        """Whether a prompt says what is to move, and how."""
        movers = prompt.get("movers")
        return isinstance(movers, list) and all(m.get("direction") in DIRECTIONS for m in movers)

    def judge(self, pixels: Tensor, prompts: Sequence[PromptMetadata]) -> list[bool]:
        """Whether each clip shows what its prompt says.

        Args:
            pixels: `(batch, 3, 17, 24, 24)` in [-1, 1].
            prompts: See `find_fault`.
        """
        return [
            not find_fault(to_bytes(clip.transpose(0, 1)), prompt)
            for clip, prompt in zip(pixels, prompts, strict=True)
        ]
