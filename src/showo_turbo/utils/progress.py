"""The progress bar of long work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@contextmanager
def progress_bar(
    description: str, total: int, show: bool = True
) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error; give what advances it.

    Args:
        description: What is being done.
        total: How many things there are to do.
        show: Whether to show it; it is never shown when there is nothing to do.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not show or not total) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.advance(task, done)
