"""What a sweep has found: tables, files and plots."""

import re
import statistics
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import pyplot
from matplotlib.figure import Figure
from optuna import Study
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as plots

from ..evaluation.tables import Figures
from ..utils.files import write_atomically, write_csv, write_json
from .space import SearchSpace
from .study import FAULT, FOLDER, retried_trials

INCHES_A_LETTER = 0.12
"""Of labels, in the size that Optuna writes them in."""

LINE_LETTERS = 24
"""Of a name in a diagram; what is longer goes on below."""

AXES_SHARE = 0.55
"""How much of a diagram's width is between its outermost axes, at least."""


def write_results(study: Study, space: SearchSpace, folder: Path) -> Figures:
    """Write `trials.csv`, `sweep.json` and the plots, and give the table of the settings.

    Args:
        study: What was run.
        space: What was varied.
        folder: Where the files go.
    """
    keys = [*space.choices, *space.ranges]
    retried = retried_trials(study)
    rows = [_row(trial, keys) for trial in study.get_trials() if trial.number not in retried]
    columns = ["trial", "state", "value", *keys, "seconds", "folder", "fault"]
    write_csv(folder / "trials.csv", columns, rows)
    varied = [key for key in keys if key not in space.settings.average_over]
    settings = summarize(rows, varied, maximize=space.settings.direction == "maximize")
    found = {"study": study.study_name, "metric": space.settings.metric, "settings": settings}
    write_json(folder / "sweep.json", found | {"trials": rows})
    for name, figure in diagrams(study, shown_names(keys)):
        with write_atomically(folder / "plots" / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=120, bbox_inches="tight")
    return _figures(settings, varied, space)


def summarize(
    rows: list[dict[str, Any]], varied: list[str], maximize: bool = True
) -> list[dict[str, Any]]:
    """Mean and standard deviation of each setting over its repetitions, the best first.

    Args:
        rows: A row a trial, with its `state`, `value` and parameters.
        varied: The parameters that make a setting; those that only repeat it are left out.
        maximize: Whether large values are good.
    """
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(repr(row[key]) for key in varied), []).append(row)
    found = []
    for group in groups.values():
        values = [row["value"] for row in group if row["state"] == "COMPLETE"]
        found.append(
            {key: group[0][key] for key in varied}
            | {
                "mean": statistics.fmean(values) if values else None,
                "deviation": statistics.stdev(values) if len(values) > 1 else None,
                "n": len(values),
                "pruned": sum(row["state"] == "PRUNED" for row in group),
                "failed": sum(row["state"] == "FAIL" for row in group),
            }
        )
    sign = -1 if maximize else 1
    return sorted(found, key=lambda row: (row["mean"] is None, sign * (row["mean"] or 0)))


def _figures(settings: list[dict[str, Any]], varied: list[str], space: SearchSpace) -> Figures:
    return Figures(
        f"{space.settings.study}: {space.settings.metric}",
        [*shown_names(varied).values(), "mean", "deviation", "n", "pruned", "failed"],
        [
            [
                *(str(row[key]) for key in varied),
                *("" if row[key] is None else f"{row[key]:.4g}" for key in ("mean", "deviation")),
                *(str(row[key]) for key in ("n", "pruned", "failed")),
            ]
            for row in settings
        ],
    )


def _row(trial: FrozenTrial, keys: list[str]) -> dict[str, Any]:
    duration = trial.duration
    return {
        "trial": trial.number,
        "state": trial.state.name,
        "value": trial.value if trial.state.name == "COMPLETE" else None,
        **{key: trial.params.get(key) for key in keys},
        "seconds": None if duration is None else round(duration.total_seconds(), 1),
        "folder": trial.user_attrs.get(FOLDER),
        "fault": trial.user_attrs.get(FAULT),
    }


def shown_names(keys: Sequence[str]) -> dict[str, str]:
    """What dotted keys are called in tables and diagrams: by their ends, where these differ."""
    ends = [key.rpartition(".")[2] for key in keys]
    return {key: key if ends.count(end) > 1 else end for key, end in zip(keys, ends, strict=True)}


def diagrams(study: Study, names: Mapping[str, str]) -> Iterator[tuple[str, Figure]]:
    """Optuna's own diagrams of a study, with their names; none of one without a finished trial.

    Args:
        study: What was run.
        names: What its parameters are called.

    Yields:
        Figures that are closed once the next is asked for.
    """
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return
    kinds: dict[str, Any] = {
        "history": plots.plot_optimization_history,
        "slices": plots.plot_slice,
        "parallel_coordinates": plots.plot_parallel_coordinate,
        "validations": plots.plot_intermediate_values,
    }
    with warnings.catch_warnings(), pyplot.rc_context():
        warnings.simplefilter("ignore")  # experimental; axes whose ticks are words
        pyplot.switch_backend("agg")
        for name, draw in kinds.items():
            drawn: Any = draw(study)
            figure = drawn.figure if hasattr(drawn, "figure") else drawn.flat[0].figure
            _make_legible(figure, names)
            yield name, figure
            pyplot.close(figure)


def _make_legible(figure: Figure, names: Mapping[str, str]) -> None:
    """Keep labels apart: short names of parameters, values that are words upright, more width."""
    side_by_side: list[str] = []
    for axes in figure.axes:
        axes.set_xlabel(_wrapped(names.get(axes.get_xlabel(), axes.get_xlabel())))
        side_by_side += [axes.get_xlabel()] * bool(axes.get_xlabel())
        ticks = [tick.get_text() for tick in axes.get_xticklabels()]
        if any(tick in names for tick in ticks):  # an axis a parameter
            shown = [_wrapped(names.get(tick, tick)) for tick in ticks]
            axes.set_xticks(axes.get_xticks(), shown, rotation=0)
            side_by_side += shown
        elif any(not _is_number(tick) for tick in ticks):
            axes.tick_params(axis="x", rotation=90)
    longest = max((len(line) for name in side_by_side for line in name.split("\n")), default=0)
    room = (longest * INCHES_A_LETTER + 0.2) * len(side_by_side) / AXES_SHARE
    figure.set_figwidth(max(figure.get_figwidth(), room))


def _wrapped(name: str) -> str:
    """A name in lines that end at a dot, where it is long."""
    lines = [""]
    for part in re.split(r"(?<=\.)", name):
        if lines[-1] and len(lines[-1] + part) > LINE_LETTERS:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _is_number(text: str) -> bool:
    try:
        float(text.replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        return False
    return True
