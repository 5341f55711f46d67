"""Decoding speed: naive against ours, and cached autoregression against Jacobi decoding.

    python benchmarks/decoding.py                     # all rows, about a quarter of an hour
    python benchmarks/decoding.py --only t2i_256 --only jacobi_commit
    python benchmarks/decoding.py --student runs/quickstart/student

Every row measures its two ways in turns in one process, checks that they give the same tokens, and
is added to `benchmarks/results/decoding-<hardware>.json` as soon as it is done. `naive_s` is the
time of what a row compares with, `ours_s` that of this package; "what" says which these are; the
processor's seconds (`naive_cpu_s`, `ours_cpu_s`) hardly depend on other work on the machine. The
naive ways are those of `tests/naive.py`: no cache, whole padded sequences, the whole vocabulary.

Rows with t2i_, inpaint_ and jacobi_ use a random network in between the shapes and the released
ones (hidden 768, 8 layers, the full vocabulary) and the geometry of the released 256 and 512 px
models: prompts of 14 tokens, padded to 129 in the naive way. Rows with base_ and student_ use the
shapes models.
Rows with released_ need a GPU: compiled decoding at the released sizes, random weights, in
bfloat16, with the share of the device's limit that it reaches.
"""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from comparing import Row
from decoding_random import RandomRows
from decoding_released import ReleasedRows
from decoding_shapes import ShapesRows
from random_networks import SMOKE, Scale, full_scale
from rich.console import Console
from rich.table import Table

from showo_turbo.errors import UserError
from showo_turbo.evaluation.environment import describe_hardware, source_version
from showo_turbo.utils.files import read_json, write_json
from showo_turbo.utils.progress import progress_bar

STUDENT = Path("runs/quickstart/student")
RESULTS = Path(__file__).resolve().parent / "results"


def all_rows(scale: Scale, student: Path) -> dict[str, Callable[[], Row]]:
    """The rows of the table, by name."""
    return {
        **RandomRows(scale).by_name,
        **ShapesRows(scale, "base", "shapes").by_name,
        **ShapesRows(scale, "student", str(student)).by_name,
        **ReleasedRows(scale).by_name,
    }


def results_file(device: torch.device) -> Path:
    """Where the results of this hardware lie."""
    slug = re.sub(r"[^a-z0-9]+", "-", describe_hardware(device).lower()).strip("-")
    return RESULTS / f"decoding-{slug}.json"


def add_row(path: Path, hardware: str, row: Row, order: list[str]) -> None:
    """Write a row into the results, in place of an older one of its name."""
    rows = read_json(path)["rows"] if path.exists() else []
    kept = [entry for entry in rows if entry["name"] != row["name"]] + [row]
    kept.sort(
        key=lambda entry: order.index(entry["name"]) if entry["name"] in order else len(order)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"hardware": hardware, "rows": kept})


def main() -> None:
    """Measure the rows that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="only this row; repeatable")
    parser.add_argument(
        "--student", type=Path, default=STUDENT, help=f"a distilled shapes model ({STUDENT})"
    )
    parser.add_argument("--output", type=Path, help="JSON file instead of the hardware's own")
    parser.add_argument("--repeats", type=int, default=3, help="turns; the shortest counts (3)")
    parser.add_argument("--smoke", action="store_true", help="tiny work, to see that it runs")
    options = parser.parse_args()
    scale = SMOKE if options.smoke else full_scale(options.repeats)
    rows = all_rows(scale, options.student)
    unknown = [name for name in options.only or () if name not in rows]
    if unknown:
        parser.error(f"there is no row {unknown[0]!r}; choose from {', '.join(rows)}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    path = options.output or results_file(device)
    exists = (options.student / "config.json").is_file()
    available = [name for name in rows if exists or not name.startswith("student_")]
    names = options.only or available
    if missing := [name for name in options.only or rows if name not in available]:
        print(
            f"left out: {', '.join(missing)}: {options.student} holds no model; make one with the "
            "quickstart, or name one with --student",
            file=sys.stderr,
        )
        names = [name for name in names if name in available]
    table = Table("row", "naive s", "ours s", "ratio", "exact", "naive MiB", "ours MiB")
    version = source_version()  # before the results change it
    with progress_bar("rows", len(names)) as advance:
        for name in names:
            row = {"name": name} | rows[name]()
            row |= {"command": " ".join(["python", *sys.argv]), "version": version}
            row |= {"torch": torch.__version__, "threads": torch.get_num_threads()}
            add_row(path, describe_hardware(device), row, list(rows))
            print(f"{name}: {row['ratio']:.2f}x", file=sys.stderr)
            values = [row["naive_s"], row["ours_s"], f"{row['ratio']:.2f}", row["exact"]]
            table.add_row(
                name, *map(str, values), str(row["naive_peak_mib"]), str(row["ours_peak_mib"])
            )
            advance(1)
    Console().print(table)
    print(path)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
