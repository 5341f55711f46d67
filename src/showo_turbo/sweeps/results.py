"""What a sweep has found: tables, files and plots."""

import csv
import statistics
import warnings
from pathlib import Path
from typing import Any

from matplotlib import pyplot
from optuna import Study
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as plots

from ..evaluation.tables import Figures
from ..utils.files import write_atomically, write_json
from .space import SearchSpace
from .study import FAULT, FOLDER, retried_trials


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
    with (
        write_atomically(folder / "trials.csv") as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        columns = ["trial", "state", "value", *keys, "seconds", "folder", "fault"]
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    varied = [key for key in keys if key not in space.settings.average_over]
    settings = summarize(rows, varied, maximize=space.settings.direction == "maximize")
    found = {"study": study.study_name, "metric": space.settings.metric, "settings": settings}
    write_json(folder / "sweep.json", found | {"trials": rows})
    _draw_plots(study, folder / "plots")
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
    short = [key.rpartition(".")[2] for key in varied]
    names = [key if short.count(end) > 1 else end for key, end in zip(varied, short, strict=True)]
    return Figures(
        f"{space.settings.study}: {space.settings.metric}",
        [*names, "mean", "deviation", "n", "pruned", "failed"],
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


def _draw_plots(study: Study, folder: Path) -> None:
    """Optuna's own diagrams of a study, as PNGs."""
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return
    diagrams: dict[str, Any] = {
        "history": plots.plot_optimization_history,
        "slices": plots.plot_slice,
        "parallel_coordinates": plots.plot_parallel_coordinate,
        "validations": plots.plot_intermediate_values,
    }
    with warnings.catch_warnings(), pyplot.rc_context():
        warnings.simplefilter("ignore")  # experimental; axes whose ticks are words
        pyplot.switch_backend("agg")
        for name, draw in diagrams.items():
            axes: Any = draw(study)
            figure = axes.figure if hasattr(axes, "figure") else axes.flat[0].figure
            with write_atomically(folder / f"{name}.png") as temporary:
                figure.savefig(temporary, format="png", dpi=120, bbox_inches="tight")
            pyplot.close(figure)
