"""What loggers leave behind: TensorBoard's events, `metrics.csv`, MLflow's files."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ...errors import UserError
from ...utils.text_files import ENCODING

_EVENTS, _TABLE = "events.out.tfevents.*", "metrics.csv"
_MLFLOW = "metrics"
"""The folder of a run of MLflow's that holds a file for each metric."""


@dataclass(frozen=True)
class Point:
    """A logged value.

    Attributes:
        tag: What it is.
        step: The optimizer step.
        time: When it was logged, in seconds; of two values of a step the later one is right.
        value: How much it is.
    """

    tag: str
    step: int
    time: float
    value: float


def find_logs(folder: Path) -> list[Path]:
    """The folders within a folder that hold logs of any of these kinds, sorted."""
    found = [path.parent for path in folder.rglob(_EVENTS)]
    found += [path.parent for path in folder.rglob(_TABLE)]
    found += [
        path.parent for path in folder.rglob(_MLFLOW) if (path.parent / "meta.yaml").is_file()
    ]
    return sorted(set(found))


def read_points(folder: Path) -> Iterator[Point]:
    """The values in a folder of logs.

    Raises:
        UserError: If a file of them is damaged.
    """
    if any(folder.glob(_EVENTS)):
        yield from _tensorboard(folder)
    if (folder / _TABLE).is_file():
        yield from _table(folder / _TABLE)
    if (folder / "meta.yaml").is_file():
        for path in sorted((folder / _MLFLOW).rglob("*")):
            if path.is_file():
                yield from _mlflow(path, path.relative_to(folder / _MLFLOW).as_posix())


def _tensorboard(folder: Path) -> Iterator[Point]:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    for tag in events.Tags()["scalars"]:
        for event in events.Scalars(tag):
            yield Point(tag, event.step, event.wall_time, event.value)


def _table(path: Path) -> Iterator[Point]:
    """Lightning's `CSVLogger`: a row a step, a column a metric, empty where there is no value."""
    time = path.stat().st_mtime
    with open(path, newline="", encoding=ENCODING) as file:
        for row in csv.DictReader(file):
            try:
                step = int(float(row["step"]))
                values = {tag: float(text) for tag, text in row.items() if tag != "step" and text}
            except (KeyError, TypeError, ValueError) as error:
                raise _damaged(path, error) from None
            for tag, value in values.items():
                yield Point(tag, step, time, value)


def _mlflow(path: Path, tag: str) -> Iterator[Point]:
    """A line a value: milliseconds, value, step."""
    for line in path.read_text(encoding=ENCODING).splitlines():
        try:
            time, value, step = line.split()[:3]
            yield Point(tag, int(step), float(time) / 1000, float(value))
        except ValueError as error:
            raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} is not a file of metrics ({error}); restore or remove it")


def newest_values(folders: Sequence[Path]) -> dict[str, list[tuple[int, float]]]:
    """The values in folders of logs by tag, in the order of their steps.

    Args:
        folders: As `find_logs` gives them. A resumed run has several.
    """
    known: dict[str, dict[int, Point]] = {}
    for folder in folders:
        for point in read_points(folder):
            by_step = known.setdefault(point.tag, {})
            if point.step not in by_step or point.time >= by_step[point.step].time:
                by_step[point.step] = point
    return {
        tag: [(step, by_step[step].value) for step in sorted(by_step)]
        for tag, by_step in known.items()
    }
