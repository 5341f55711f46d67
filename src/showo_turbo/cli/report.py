"""`showo-turbo report`: one HTML page about runs."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from ..utils.files import write_text
from ..viz.page import read_runs, render_page
from .command_line import run_function


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(report, arguments, name="report", listed="runs")


def report(runs: list[str], output: Path | None = None, logs: list[Path] | None = None) -> None:
    """Write a self-contained HTML report of one or more runs.

    It opens with the result in one sentence, and shows quality against steps and seconds, the same
    prompts by teacher and student, changed images, stories and clips where a run has them, film
    strips, answers settling token by token, losses by stage, and where configurations differ.

    Args:
        runs: Folders of runs: what `trainer.default_root_dir` was.
        output: The file to write; `report.html` in the first run's folder by default.
        logs: Folders with logs of a run that lie elsewhere, such as `[runs/logs]`.
    """
    found = read_runs([Path(name) for name in runs], logs or ())
    path = Path(runs[0]) / "report.html" if output is None else output
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file, such as {path / 'report.html'}")
    write_text(path, render_page(found))
    print(f"written: {path}")
