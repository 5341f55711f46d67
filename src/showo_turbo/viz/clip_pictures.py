"""Figures of clips: the frames of teacher and student below each other, and both as they move."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from ..data.clip_writing import write_clip
from .pictures import GridColumn, draw_image_grid, mosaic, wrapped
from .strips import write_told

STRIP_FRAMES = 9
"""Frames of a clip that are shown at most in a strip."""

_TITLE_CHARACTERS = 100


def draw_clip_strips(
    prompts: Sequence[str], columns: Sequence[GridColumn], folder: Path
) -> list[Path]:
    """Write the clips of each prompt as a strip and in motion, in frames as `mosaic` draws them.

    `clip-<number>.png` has a row for each model and setting, its frames side by side;
    `clip-<number>.webp` has all frames, the models side by side; `clip-<number>.json` holds what
    was asked and which clip is right, see `write_told`.

    Args:
        prompts: What was asked.
        columns: Of each model and setting, the clips of these prompts, of one size; further ones
            are left out.
        folder: Where the files go.

    Returns:
        The figures.
    """
    written: list[Path] = []
    for row, prompt in enumerate(prompts):
        strip, moving = (folder / f"clip-{row + 1}{ending}" for ending in (".png", ".webp"))
        marks = [None if own.satisfied is None else own.satisfied[row] for own in columns]
        names = [", ".join(own.title.splitlines()) for own in columns]
        clips = torch.cat([own.pixels[row : row + 1] for own in columns])
        judged = [bool(mark) for mark in marks] if None not in marks else None
        title = wrapped(prompt, _TITLE_CHARACTERS)
        draw_image_grid(names, [GridColumn(title, clips, judged, STRIP_FRAMES)], strip)
        write_clip(moving, [_side_by_side(clips[:, :, i], judged) for i in range(clips.shape[2])])
        told = [(name, [("", mark)]) for name, mark in zip(names, marks, strict=True)]
        write_told(prompt, told, strip.with_suffix(".json"))
        written += [strip, moving]
    return written


def _side_by_side(images: torch.Tensor, judged: Sequence[bool] | None) -> Image.Image:
    """One frame of several clips."""
    columns = [
        GridColumn("", image[None], None if judged is None else [judged[i]])
        for i, image in enumerate(images)
    ]
    return Image.fromarray(mosaic(columns))
