"""The figures as tables for people: in the terminal and in Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from .image_scores import ImageScore
from .report import Report
from .targets import Target

LOG_WIDTH = 160
"""Columns of the tables in a log file."""

DECODINGS = {"ar": "autoregressive", "jacobi": "Jacobi"}


@dataclass(frozen=True)
class Figures:
    """A table as texts, ready for any output.

    Attributes:
        title: What it shows, with counts.
        header: Names of the columns.
        rows: Cells of each row.
    """

    title: str
    header: list[str]
    rows: list[list[str]]


def image_figures(scores: Sequence[ImageScore], title: str = "") -> Figures:
    """Scores by model and guidance (down) and sampling steps (across), with 95% intervals.

    Args:
        scores: Scores on one set of prompts.
        title: What stands above it; the split and the number of prompts by default.
    """
    steps = sorted({row.steps for row in scores}, reverse=True)
    varying = _varying_guidance(scores)
    table: dict[tuple[str, str], dict[int, str]] = {}
    for row in scores:
        label, cell = f"{row.guidance:g}", _with_interval(row.score, row.ci95)
        if row.guidance == 0:
            label = "none"
        elif row.model in varying:
            label, cell = "best", f"{cell} w={row.guidance:g}"
        table.setdefault((row.model, label), {})[row.steps] = cell
    return Figures(
        title or _image_title(scores),
        ["model", "guidance", *_step_titles(steps)],
        [[*names, *(cells.get(count, "") for count in steps)] for names, cells in table.items()],
    )


def metric_figures(scores: Sequence[ImageScore]) -> list[Figures]:
    """A table for each further metric of the images, laid out as `image_figures`."""
    names = dict.fromkeys(name for row in scores for name in row.metrics)
    steps = sorted({row.steps for row in scores}, reverse=True)
    tables = []
    for name in names:
        cells: dict[tuple[str, str], dict[int, str]] = {}
        for row in scores:
            label = f"{row.guidance:g}" if row.guidance else "none"
            value = row.metrics.get(name)
            cells.setdefault((row.model, label), {})[row.steps] = _number(value, 4)
        tables.append(
            Figures(
                f"{name} ({scores[0].split.replace('_', ' ')}, n = {scores[0].n})",
                ["model", "guidance", *_step_titles(steps)],
                [[*key, *(row.get(count, "") for count in steps)] for key, row in cells.items()],
            )
        )
    return tables


def top_k_figures(scores: Sequence[ImageScore]) -> Figures:
    """Scores by model and top-k (down) and sampling steps (across), with 95% intervals."""
    steps = sorted({row.steps for row in scores}, reverse=True)
    cells: dict[tuple[str, str], dict[int, str]] = {}
    for row in scores:
        cell = _with_interval(row.score, row.ci95) if row.judged else ""
        cells.setdefault((row.model, str(row.top_k)), {})[row.steps] = cell
    return Figures(
        _image_title(scores),
        ["model", "top-k", *_step_titles(steps)],
        [[*key, *(row.get(count, "") for count in steps)] for key, row in cells.items()],
    )


def text_figures(rows: Sequence[Mapping[str, Any]]) -> Figures:
    """Exact match and speed of the answers by model and decoding.

    Args:
        rows: What `TextScore.to_dict` gave.
    """
    counts = f"n = {rows[0]['n']}" if rows else "none"
    return Figures(
        f"Answers about images ({counts})",
        [
            "model",
            "decoding",
            "exact match",
            "CIDEr-D",
            "tokens a forward",
            "iterations a block",
            "tokens/s (batch 1)",
        ],
        [
            [
                row["model"],
                DECODINGS[row["decoding"]],
                _with_interval(row["exact_match"], row["ci95"]),
                _number(row.get("cider_long"), 2),
                f"{row['tokens_per_forward']:.2f}",
                _number(row["iterations_per_block"], 2),
                _number(row["tokens_per_second"], 0),
            ]
            for row in rows
        ],
    )


def benchmark_figures(rows: Sequence[Mapping[str, Any]]) -> list[Figures]:
    """A table for each benchmark: its figures and the speed by model and decoding.

    Args:
        rows: What `TextScore.to_dict` gave; those without a benchmark are left out.
    """
    tables = []
    for name in dict.fromkeys(row["benchmark"] for row in rows if row.get("benchmark")):
        of_it = [row for row in rows if row.get("benchmark") == name]
        tables.append(
            Figures(
                f"{name} (n = {of_it[0]['n']})",
                [
                    "model",
                    "decoding",
                    *of_it[0]["metrics"],
                    "tokens a forward",
                    "tokens/s (batch 1)",
                ],
                [
                    [
                        row["model"],
                        DECODINGS[row["decoding"]],
                        *(_number(value, 3) for value in row["metrics"].values()),
                        f"{row['tokens_per_forward']:.2f}",
                        _number(row["tokens_per_second"], 0),
                    ]
                    for row in of_it
                ],
            )
        )
    return tables


def evaluation_figures(
    images: Sequence[ImageScore], top_k: Sequence[ImageScore], text: Sequence[Mapping[str, Any]]
) -> list[Figures]:
    """All tables of a validation.

    Args:
        images: Scores by sampling steps and guidance.
        top_k: Scores by top-k.
        text: What `TextScore.to_dict` gave.
    """
    figures = []
    for of_split in by_split(images):
        if of_split[0].judged:
            figures.append(image_figures(of_split))
        figures += metric_figures(of_split)
    figures += [top_k_figures(of_split) for of_split in by_split(top_k)]
    if described := [row for row in text if row.get("benchmark") is None]:
        figures.append(text_figures(described))
    return figures + benchmark_figures(text)


def by_split(scores: Sequence[ImageScore]) -> list[list[ImageScore]]:
    """Scores on the same prompts, together."""
    splits = dict.fromkeys(row.split for row in scores)
    return [[row for row in scores if row.split == split] for split in splits]


def target_figures(targets: Sequence[Target]) -> Figures:
    """Each target with its value and whether it was reached."""
    return Figures(
        "Targets",
        ["figure", "value", "must", "aim"],
        [
            [
                target.figure,
                _number(target.value, 3),
                _verdict(target, target.must),
                _verdict(target, target.aim),
            ]
            for target in targets
        ],
    )


def report_figures(report: Report) -> list[Figures]:
    """All tables of a report."""
    figures = []
    if report.images:
        figures.append(image_figures(report.images))
    if report.unseen_combinations:
        figures.append(image_figures(report.unseen_combinations))
    if report.text:
        figures.append(text_figures([row.to_dict() for row in report.text]))
    return figures


def make_console() -> Console:
    """A console that leaves tables whole where no terminal says how wide it is."""
    console = Console()
    return console if console.is_terminal else Console(width=LOG_WIDTH)


def to_rich(figures: Iterable[Figures]) -> RenderableType:
    """Tables for the terminal."""
    tables = []
    for entry in figures:
        table = Table(*entry.header, title=entry.title, title_justify="left")
        for row in entry.rows:
            table.add_row(*(Text(cell) for cell in row))
        tables.append(table)
    return Group(*tables)


def to_markdown(figures: Iterable[Figures]) -> str:
    """Tables in Markdown, each under its title."""
    parts = []
    for entry in figures:
        rows = [entry.header, ["---"] * len(entry.header), *entry.rows]
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
        parts.append("\n".join([f"**{entry.title}**", "", *lines]))
    return "\n\n".join(parts) + "\n"


def report_markdown(report: Report) -> str:
    """The report's tables in Markdown, with a line on how it was measured."""
    parts = [to_markdown([*report_figures(report), target_figures(report.targets)])]
    if report.guidance:
        scales = ", ".join(f"{scale:g} at {steps}" for steps, scale in report.guidance.items())
        prompts = report.guidance_sweep[0].n if report.guidance_sweep else 0
        parts.append(
            f"Guidance of the teacher, chosen on {prompts} separate prompts: {scales} steps."
        )
    parts.append(
        "Brackets: 95% intervals (Wilson; over categories combined by squared distances). "
        "Iterations a block count one that only repeats the fixed point."
    )
    if report.hardware:
        parts.append(f"Measured on {report.hardware}.")
    return "\n".join(parts) + "\n"


def _varying_guidance(scores: Sequence[ImageScore]) -> set[str]:
    """Models whose guidance differs from steps to steps, with one scale at each: it was chosen."""
    scales: dict[str, dict[int, set[float]]] = {}
    for row in scores:
        if row.guidance > 0:
            scales.setdefault(row.model, {}).setdefault(row.steps, set()).add(row.guidance)
    return {
        model
        for model, by_steps in scales.items()
        if max(map(len, by_steps.values())) == 1 and len(set.union(*by_steps.values())) > 1
    }


def _step_titles(steps: Sequence[int]) -> list[str]:
    return [f"{count} step{'s' * (count > 1)}" for count in steps]


def _image_title(scores: Sequence[ImageScore]) -> str:
    split = scores[0].split.replace("_", " ")
    return f"Prompts satisfied, mean over categories ({split}, n = {scores[0].n})"


def _with_interval(value: float, interval: Sequence[float]) -> str:
    low, high = interval
    return f"{value:.3f} [{low:.2f}, {high:.2f}]"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _verdict(target: Target, bound: float | None) -> str:
    if bound is None:
        return ""
    reached = {True: "yes", False: "no", None: "not measured"}[target.reached(bound)]
    sign = "<=" if target.at_most else ">" if target.above else ">="
    return f"{reached} ({sign} {bound:.3f})"
