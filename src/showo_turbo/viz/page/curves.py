"""Training curves out of a logger's files, cut at the stages of the curriculum."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path

from matplotlib.figure import Figure

from .logs import newest_values

PREFIX = "train/"
COLUMNS = 3


@dataclass(frozen=True)
class Curves:
    """Scalars that were logged in training.

    Attributes:
        points: Tag -> pairs of step and value, in the order of the steps.
        stage_starts: First logged step of each stage that was begun.
    """

    points: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    stage_starts: list[int] = field(default_factory=list)


def read_curves(logs: Sequence[Path], stage_epochs: Sequence[int] = ()) -> Curves:
    """Read the losses of a run.

    A resumed run has several folders of logs; where two know a step, the later one is right.

    Args:
        logs: Folders with a logger's files, see `find_logs`.
        stage_epochs: Epochs of each stage.
    """
    points = newest_values(logs)
    losses = {
        tag.removeprefix(PREFIX): values
        for tag, values in points.items()
        if tag.startswith(PREFIX) and "/" not in tag.removeprefix(PREFIX)
    }
    return Curves(losses, _stage_starts(points.get("epoch", []), stage_epochs))


def loss_figure(curves: Curves) -> Figure:
    """Plot every loss term, one small diagram each, with the stages as bands.

    Args:
        curves: At least one term.
    """
    rows = -(-len(curves.points) // COLUMNS)
    figure = Figure(figsize=(9.6, 2.6 * rows), dpi=100, layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False).flat
    last = max(values[-1][0] for values in curves.points.values())
    edges = [*curves.stage_starts, last]
    # The terms first: what is left of the diagrams is hidden.
    for (name, values), axes in zip(sorted(curves.points.items()), grid, strict=False):
        steps, losses = zip(*values, strict=True)
        axes.plot(steps, losses, linewidth=1)
        axes.set_title(name.replace("_", " "), fontsize=9)
        axes.tick_params(labelsize=7)
        for stage, (left, right) in enumerate(pairwise(edges)):
            axes.axvspan(left, right, color=f"C{stage}", alpha=0.1, linewidth=0)
            corner = axes.get_xaxis_transform()
            axes.text(left, 0.98, f" stage {stage + 1}", fontsize=7, va="top", transform=corner)
    for axes in list(grid):
        axes.set_visible(False)
    return figure


def _stage_starts(epochs: Sequence[tuple[int, float]], stage_epochs: Sequence[int]) -> list[int]:
    """The first step that was logged in each stage."""
    starts: dict[int, int] = {}
    ends = list(accumulate(stage_epochs))[:-1]
    for step, epoch in epochs if stage_epochs else ():
        starts.setdefault(bisect_right(ends, epoch), step)
    return [starts[stage] for stage in sorted(starts)]
