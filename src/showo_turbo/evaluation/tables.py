"""The figures as tables for people: in the terminal and in Markdown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

LOG_WIDTH = 160
"""Columns of the tables in a log file."""


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


def with_interval(value: float, interval: Sequence[float]) -> str:
    """A value with its 95% interval."""
    low, high = interval
    return f"{value:.3f} [{low:.2f}, {high:.2f}]"


def number(value: float | None, digits: int) -> str:
    """A value with so many digits; nothing if it was not measured."""
    return "" if value is None else f"{value:.{digits}f}"
