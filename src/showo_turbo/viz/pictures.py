"""Figures of an evaluation: grids of generated images, quality by steps."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch.nn.functional as F
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    NullFormatter,
    NullLocator,
    ScalarFormatter,
)
from numpy.typing import NDArray
from torch import Tensor

from ..evaluation.image_scores import ImageScore
from ..sampling.image_sampling import ImageSampling
from ..utils.files import write_atomically
from ..utils.images import to_bytes
from .film_strip import evenly_chosen

CELL_PIXELS = 96
"""Side that an image is enlarged to in a grid, about."""

SHOWN_FRAMES = 4
"""Frames of a clip that are shown at most in a grid."""

FRAME_PIXELS = 4
GAP_PIXELS = 8
SATISFIED, FAILED, UNJUDGED = (46, 139, 87), (200, 40, 40), (190, 190, 190)
CHECK = (
    "........#",
    ".......##",
    "#.....##.",
    "##...##..",
    ".##.##...",
    "..###....",
    "...#.....",
)
CROSS = (
    "##...##",
    ".##.##.",
    "..###..",
    "...#...",
    "..###..",
    ".##.##.",
    "##...##",
)
"""What tells right from wrong without colors, in the lower right corner of a frame."""

DOTS_PER_INCH = 100
CAPTION_INCHES = 2.6


@dataclass(frozen=True, eq=False)
class GridColumn:
    """A column of a grid: one model in one setting.

    Attributes:
        title: What stands above it.
        pixels: `(rows, 3, height, width)` in [-1, 1], or clips
            `(rows, 3, frames, height, width)`.
        satisfied: Whether each image satisfies its prompt; None where there was no judge.
        frames: Frames of a clip that are shown at most, at least 2.
    """

    title: str
    pixels: Tensor
    satisfied: Sequence[bool] | None = None
    frames: int = SHOWN_FRAMES


def mosaic(columns: Sequence[GridColumn]) -> NDArray[np.uint8]:
    """Lay images out side by side, enlarged without blurring, in frames that tell right from wrong.

    Of a clip, some frames are shown side by side, evenly spread, as one image.

    Args:
        columns: All with the same number of images of one size.

    Returns:
        RGB `(height, width, 3)`: green frames with a check for satisfied prompts, red ones with a
        cross for others, gray ones where nothing judged.
    """
    scale = max(1, round(CELL_PIXELS / max(columns[0].pixels.shape[-2:])))
    shown = [_flat(column.pixels, column.frames) for column in columns]
    rows, _, height, width = shown[0].shape
    cell_height, cell_width = _cell_size(height, width, scale)
    canvas = np.full((rows * cell_height, len(columns) * cell_width, 3), 255, dtype=np.uint8)
    for x, (column, pixels) in enumerate(zip(columns, shown, strict=True)):
        images = to_bytes(pixels).repeat(scale, axis=1).repeat(scale, axis=2)
        for y, image in enumerate(images):
            color = UNJUDGED
            if column.satisfied is not None:
                color = SATISFIED if column.satisfied[y] else FAILED
            framed = np.pad(image, ((FRAME_PIXELS,) * 2, (FRAME_PIXELS,) * 2, (0, 0)))
            inside = np.zeros(framed.shape[:2], dtype=bool)
            inside[FRAME_PIXELS:-FRAME_PIXELS, FRAME_PIXELS:-FRAME_PIXELS] = True
            framed[~inside] = color
            if column.satisfied is not None:
                _mark(framed, CHECK if column.satisfied[y] else CROSS, color)
            top, left = y * cell_height + GAP_PIXELS // 2, x * cell_width + GAP_PIXELS // 2
            canvas[top : top + framed.shape[0], left : left + framed.shape[1]] = framed
    return canvas


def _flat(pixels: Tensor, most: int) -> Tensor:
    """Images as they are; frames of clips side by side, a gray line between them."""
    if pixels.ndim == 4:
        return pixels
    frames = pixels[:, :, evenly_chosen(pixels.shape[2], most)]
    return F.pad(frames, (1, 0)).transpose(2, 3).flatten(3)[..., 1:]


def _mark(framed: NDArray[np.uint8], sign: Sequence[str], color: tuple[int, int, int]) -> None:
    """Draw a sign into the lower right corner of a framed image, on white, in place."""
    bits = np.array([[char == "#" for char in row] for row in sign])
    tile = np.where(np.pad(bits, 2)[..., None], np.array(color), 255)
    height, width = tile.shape[:2]
    if framed.shape[0] >= 3 * height and framed.shape[1] >= 3 * width:
        framed[-height - FRAME_PIXELS : -FRAME_PIXELS, -width - FRAME_PIXELS : -FRAME_PIXELS] = tile


def column_title(name: str, sampling: ImageSampling, note: str = "") -> str:
    """The title of a column: a model and how it was sampled, in lines.

    Args:
        name: What the model is called.
        sampling: How it was sampled.
        note: One more line.
    """
    guidance = f"guidance {sampling.guidance_scale:g}" if sampling.guidance_scale else "no guidance"
    return "\n".join([name, f"{sampling.sampling_steps} steps", guidance, *filter(None, [note])])


def draw_image_grid(captions: Sequence[str], columns: Sequence[GridColumn], path: Path) -> None:
    """Write a grid as a PNG: prompts down, models and settings across.

    Args:
        captions: The prompts, one a row.
        columns: See `mosaic`.
        path: Where to write it.
    """
    grid = mosaic(columns)
    height, width = grid.shape[:2]
    rows, across = len(captions), len(columns)
    inches = (width / DOTS_PER_INCH + CAPTION_INCHES, height / DOTS_PER_INCH + 0.6)
    figure = Figure(figsize=inches, dpi=DOTS_PER_INCH)
    axes = figure.add_axes(
        (
            CAPTION_INCHES / inches[0],
            0.0,
            width / DOTS_PER_INCH / inches[0],
            height / DOTS_PER_INCH / inches[1],
        )
    )
    axes.imshow(grid, interpolation="nearest", aspect="auto")
    axes.set_xticks([(x + 0.5) * width / across for x in range(across)])
    axes.set_xticklabels([column.title for column in columns], fontsize=8)
    axes.set_yticks([(y + 0.5) * height / rows for y in range(rows)])
    axes.set_yticklabels([wrapped(caption) for caption in captions], fontsize=8)
    axes.tick_params(length=0, top=False, bottom=False, labeltop=True, labelbottom=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    _save(figure, path)


def of_quality(scores: Sequence[ImageScore]) -> tuple[list[ImageScore], str | None] | None:
    """The scores that tell how good images are, and by which metric.

    Args:
        scores: Of one split.

    Returns:
        Those that a checker judged, with None for the metric; where there are none, those with the
        first metric, and its name; None where nothing tells.
    """
    if judged := [row for row in scores if row.judged]:
        return judged, None
    metric = next((name for row in scores for name in row.metrics), None)
    if metric is None:
        return None
    return [row for row in scores if row.metrics.get(metric) is not None], metric


def draw_quality_by_steps(scores: Sequence[ImageScore], metric: str | None, path: Path) -> None:
    """Plot the quality against the sampling steps as a PNG; see `quality_figure`."""
    _save(quality_figure(scores, metric), path)


def quality_figure(
    scores: Sequence[ImageScore],
    metric: str | None = None,
    against: Literal["steps", "seconds"] = "steps",
) -> Figure:
    """Plot the quality against the sampling steps or the seconds an image takes.

    Args:
        scores: Scores on one split. Of the checker's, which have 95% intervals, there is a line for
            each model without guidance, and one for its best with guidance; of a metric's, of which
            larger or smaller values may be better, one for each guidance scale.
        metric: The metric that is plotted; None for the checker's scores.
        against: What is on the horizontal axis; scores that were not timed are left out of
            `seconds`.
    """
    lines: dict[str, dict[int, ImageScore]] = {}
    for row in scores:
        if against == "seconds" and not row.seconds_per_image:
            continue
        guided = "guided" if metric is None else f"guidance {row.guidance:g}"
        name = f"{row.model}, {guided}" if row.guidance > 0 else f"{row.model}, no guidance"
        best = lines.setdefault(name, {}).get(row.steps)
        if best is None or (metric is None and row.score > best.score):
            lines[name][row.steps] = row
    figure = Figure(figsize=(6.4, 4.2), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for name, by_steps in lines.items():
        points = [by_steps[steps] for steps in sorted(by_steps)]
        values = [row.score if metric is None else row.metrics[metric] for row in points]
        spread: list[list[float]] | None = None
        if metric is None:
            below = [row.score - row.ci95[0] for row in points]
            spread = [below, [row.ci95[1] - row.score for row in points]]
        by_time = against == "seconds"
        places = [(row.seconds_per_image or 0.0) if by_time else row.steps for row in points]
        axes.errorbar(
            places,
            values,
            yerr=spread,
            label=name,
            marker="o",
            linestyle="-" if name.endswith("no guidance") else "--",
            capsize=3,
        )
        if against == "seconds":
            for row, place, value in zip(points, places, values, strict=True):
                options: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7}
                axes.annotate(str(row.steps), (place, value), (5, -9), **options)
    if against == "steps":
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator(sorted({row.steps for row in scores})))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.set_xlabel("sampling steps")
    else:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("seconds an image, in batches (beside the points: sampling steps)")
    axes.set_ylabel(metric or "prompts satisfied, mean over categories")
    if metric is None:
        axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    if lines:
        axes.legend()
    return figure


def to_array(figure: Figure) -> NDArray[np.uint8]:
    """A diagram as RGB `(height, width, 3)`."""
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def _cell_size(height: int, width: int, scale: int) -> tuple[int, int]:
    border = 2 * FRAME_PIXELS + GAP_PIXELS
    return height * scale + border, width * scale + border


def wrapped(caption: str, width: int = 30) -> str:
    """Break a caption into lines of so many characters; what would start a formula is escaped."""
    return "\n".join(textwrap.wrap(caption, width)[:5]).replace("$", r"\$")


def _save(figure: Figure, path: Path) -> None:
    with write_atomically(Path(path)) as temporary:
        figure.savefig(temporary, format="png")
