"""The page of one or several runs: figures beside numbers, in one HTML file."""

from .page import render_page
from .runs import Run, read_run, read_runs

__all__ = ["Run", "read_run", "read_runs", "render_page"]
