"""The HTML of a report: a template, with every picture inside it."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from ...evaluation.figures import (
    by_split,
    evaluation_figures,
    image_figures,
    metric_figures,
    sampling_figures,
    time_figures,
    variety_figures,
)
from ...evaluation.image_scores import ImageScore
from ...evaluation.plan import TEACHER
from ...evaluation.tables import Figures
from ...utils.dotted_keys import flatten
from ...utils.files import read_json
from ..pictures import of_quality, quality_figure
from .curves import loss_figure
from .runs import Run

ABSENT = "(not set)"


def render_page(runs: Sequence[Run]) -> str:
    """The page of some runs: what they share first, then each by itself.

    Args:
        runs: At least one.

    Returns:
        HTML that asks for no other file.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["data_uri"] = _data_uri
    template = environment.from_string(
        files(__package__).joinpath("page.html.jinja").read_text(encoding="utf-8")
    )
    scores = _scores(runs)
    return template.render(
        runs=[_section(run) for run in runs],
        quality=_quality_pictures(scores),
        tables=_score_tables(scores),
        differences=_differences([run for run in runs if run.config]),
    )


def _scores(runs: Sequence[Run]) -> list[ImageScore]:
    """The scores of all runs, with the run in the model's name if there are several."""
    return [
        replace(row, model=f"{run.name}: {row.model}" if len(runs) > 1 else row.model)
        for run in runs
        for row in run.images
    ]


def _score_tables(scores: Sequence[ImageScore]) -> list[Figures]:
    """What was scored, how long it took and how it was sampled; a table for each set of prompts."""
    tables = []
    judged = [row for row in scores if row.judged]
    for count in dict.fromkeys(row.n for row in judged):
        tables.append(image_figures([row for row in judged if row.n == count]))
    return [*tables, time_figures(scores), sampling_figures(scores)] if scores else []


def _quality_pictures(scores: Sequence[ImageScore]) -> list[tuple[str, str]]:
    """Diagrams of quality, each with what it shows; none where nothing tells it."""
    quality = of_quality(scores)
    if quality is None:
        return []
    found = [("Quality against sampling steps", _svg(quality_figure(*quality)))]
    if any(row.seconds_per_image for row in quality[0]):
        figure = quality_figure(*quality, against="seconds")
        found.append(("Quality against seconds", _svg(figure)))
    return found


def _section(run: Run) -> dict[str, Any]:
    """What the template shows of one run."""
    text: Sequence[dict[str, Any]] = run.report.get("text", [])
    tables = _teacher_first(run.pictures("film_strips/*-answer.json"))
    answers = {path.stem: read_json(path) for path in tables}
    strips = _teacher_first(run.pictures("film_strips/*.png"))
    return {
        "name": run.name,
        "hardware": run.report.get("hardware", ""),
        "commit": run.report.get("commit", ""),
        "measured": bool(run.report or run.evaluations),
        "seconds": _phases(run.report.get("seconds") or {}),
        "tables": _tables(run, text),
        "evaluations": [
            {
                "command": f"showo-turbo {command}",
                "quality": _quality_pictures(found.images),
                "tables": evaluation_figures(
                    found.images, found.top_k, found.text, found.abilities
                ),
            }
            for command, found in run.evaluations.items()
        ],
        "grid": run.pictures("grid.png"),
        "variety": run.pictures("variety.png"),
        "abilities": run.pictures("abilities-*.png"),
        "film_strips": [path for path in strips if not path.stem.endswith("-answer")],
        "answers": answers,
        "answer_strips": [
            path for path in strips if path.stem.endswith("-answer") and path.stem not in answers
        ],
        "losses": _svg(loss_figure(run.curves)) if run.curves.points else None,
    }


def _teacher_first(paths: Sequence[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: not path.stem.startswith(TEACHER))


def _tables(run: Run, text: Sequence[dict[str, Any]]) -> list[Figures]:
    """What the runs' common tables lack: further metrics, variety, prompts and all else."""
    further = [
        table
        for of_split in by_split(run.images)
        for table in (*metric_figures(of_split), *variety_figures(of_split))
    ]
    abilities = run.report.get("abilities", [])
    return [*further, *evaluation_figures(run.unseen_combinations, [], text, abilities)]


def _phases(seconds: dict[str, Any]) -> dict[str, float]:
    """Seconds of each phase; those that every stage has are lists."""
    return {
        f"{phase}, stage {index + 1}" if isinstance(value, list) else phase: single
        for phase, value in seconds.items()
        for index, single in enumerate(value if isinstance(value, list) else [value])
    }


def _differences(runs: Sequence[Run]) -> Figures | None:
    """The keys of the configurations that are not the same in all runs; None of a single run."""
    if len(runs) < 2:
        return None
    configs = [flatten(run.config) for run in runs]
    keys = sorted({key for config in configs for key in config})
    rows = [[key, *(str(config.get(key, ABSENT)) for config in configs)] for key in keys]
    rows = [row for row in rows if len(set(row[1:])) > 1]
    return Figures("Configuration differences", ["key", *(run.name for run in runs)], rows)


def _svg(figure: Figure) -> str:
    """A diagram as the address of an image; inside of one, no identifiers can clash."""
    content = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "showo-turbo"}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    return _address("image/svg+xml", content.getvalue())


def _data_uri(path: Path) -> str:
    """A PNG as the address of an image."""
    return _address("image/png", path.read_bytes())


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
