"""The HTML of a report: a template, with every figure inside it."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
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
from .headline import headline
from .runs import Run

ABSENT = "(not set)"

_MARKS = {True: "right", False: "wrong", None: "not judged"}


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
    shown: set[bytes] = set()
    return template.render(
        headlines=[_headline(run) for run in runs],
        runs=[_section(run, shown) for run in runs],
        quality=_quality_figures(scores),
        tables=_score_tables(scores),
        differences=_differences([run for run in runs if run.config]),
    )


def _scores(runs: Sequence[Run]) -> list[ImageScore]:
    """The scores of all runs, with the run in the model's name if there are several.

    A teacher that has the same scores in all of them is one teacher, and is shown once.
    """
    if len(runs) == 1:
        return list(runs[0].images)
    teachers = [[row for row in run.images if row.model == TEACHER] for run in runs]
    shared = bool(teachers[0]) and all(rows == teachers[0] for rows in teachers[1:])
    named = [
        replace(row, model=f"{run.name}: {row.model}")
        for run in runs
        for row in run.images
        if not (shared and row.model == TEACHER)
    ]
    return [*(teachers[0] if shared else ()), *named]


def _score_tables(scores: Sequence[ImageScore]) -> list[Figures]:
    """What was scored, how long it took and how it was sampled; a table for each set of prompts."""
    tables = []
    judged = [row for row in scores if row.judged]
    for count in dict.fromkeys(row.n for row in judged):
        tables.append(image_figures([row for row in judged if row.n == count]))
    if _timed(scores):
        tables.append(time_figures(scores))
    return [*tables, sampling_figures(scores)] if scores else []


def _quality_figures(scores: Sequence[ImageScore]) -> list[tuple[str, str]]:
    """Diagrams of quality, each with what it shows; none where nothing tells it."""
    quality = of_quality(scores)
    if quality is None:
        return []
    found = [("Quality against sampling steps", _svg(quality_figure(*quality)))]
    if any(row.seconds_per_image for row in quality[0]):
        figure = quality_figure(*quality, against="seconds")
        found.append(("Quality against seconds", _svg(figure)))
    return found


def _headline(run: Run) -> str:
    """The result of a run in one sentence: of its report, or else of what was measured last."""
    measured = [(run.images, run.report.get("text", []))]
    measured += [(found.images, found.text) for found in run.evaluations.values()]
    for images, text in measured:
        if images or text:
            first = images[0].split if images else ""
            answers = [row for row in text if row.get("benchmark") is None]
            return headline([row for row in images if row.split == first], answers)
    return ""


def _section(run: Run, shown: set[bytes]) -> dict[str, Any]:
    """What the template shows of one run.

    Args:
        run: The run.
        shown: Digests of the teacher's strips that the page has already, extended by this run's.
    """
    text: Sequence[dict[str, Any]] = run.report.get("text", [])
    tables = _not_yet(_teacher_first(run.pictures("film_strips/*-answer.json")), shown)
    answers = {path.stem: read_json(path) for path in tables}
    strips = _not_yet(_teacher_first(run.pictures("film_strips/*.png")), shown)
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
                "quality": _quality_figures(found.images),
                "tables": [
                    *evaluation_figures(found.images, found.top_k, found.text, found.abilities),
                    *([time_figures(found.images)] if _timed(found.images) else ()),
                ],
            }
            for command, found in run.evaluations.items()
        ],
        "grid": run.pictures("grid.png"),
        "variety": run.pictures("variety.png"),
        "abilities": run.pictures("abilities-*.png"),
        "clips": [_told(path) for path in run.pictures("film_strips/clips/*.json")],
        "stories": [_told(path) for path in run.pictures("film_strips/stories/*.json")],
        "film_strips": [path for path in strips if not path.stem.endswith("-answer")],
        "answers": answers,
        "answer_strips": [
            path for path in strips if path.stem.endswith("-answer") and path.stem not in answers
        ],
        "losses": _svg(loss_figure(run.curves)) if run.curves.points else None,
    }


def _told(path: Path) -> dict[str, Any]:
    """A figure of clips or of a story: what was asked, what it shows in words, and its files."""
    found = read_json(path)
    rows = []
    for row in found["rows"]:
        steps = [f"{step['text']} ({_MARKS[step['right']]})".strip() for step in row["steps"]]
        rows.append(f"{row['name']}: {' '.join(steps)}")
    moving = path.with_suffix(".webp")
    return {
        "asked": found["asked"],
        "rows": rows,
        "strip": path.with_suffix(".png"),
        "moving": moving if moving.is_file() else None,
    }


def _timed(scores: Sequence[ImageScore]) -> bool:
    return any(row.seconds_per_image is not None for row in scores)


def _not_yet(paths: Sequence[Path], shown: set[bytes]) -> list[Path]:
    """The files without those of the teacher that another run has shown, byte for byte."""
    fresh = []
    for path in paths:
        digest = sha256(path.read_bytes()).digest()
        if not path.stem.startswith(TEACHER) or digest not in shown:
            fresh.append(path)
        shown.add(digest)
    return fresh


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
    """A PNG or a WebP as the address of an image."""
    return _address(f"image/{path.suffix[1:]}", path.read_bytes())


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
