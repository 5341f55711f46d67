"""The progress bar of long work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    """How many things are done a second."""

    def render(self, task: Task) -> Text:
        """Show the rate of the last half minute, or of all when it is over."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.3g}/s")


@contextmanager
def progress_bar(
    description: str, total: int, show: bool = True
) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error, with how many are done a second; give what advances it.

    Args:
        description: What is being done.
        total: How many things there are to do.
        show: Whether to show it; it is never shown when there is nothing to do.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not show or not total) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.advance(task, done)
