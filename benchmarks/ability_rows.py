"""`benchmarks/results/abilities.json`, which the benchmarks of several abilities share."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from showo_turbo.evaluation.environment import provenance
from showo_turbo.utils.files import read_json, write_json

FILE = Path(__file__).resolve().parent / "results/abilities.json"


def write_ability_rows(
    path: Path, rows: Sequence[Mapping[str, Any]], told: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write the rows of some abilities, and keep those of all others.

    Args:
        path: The file; it is created if missing.
        rows: New rows, each with its `ability`.
        told: What the file says of an ability, beside the command and the hardware.
    """
    found = read_json(path) if path.exists() else {"measured": {}, "rows": []}
    kept = [row for row in found["rows"] if row["ability"] not in told]
    measured = found["measured"] | {name: provenance() | dict(said) for name, said in told.items()}
    write_json(path, {"measured": measured, "rows": kept + [dict(row) for row in rows]})


def floors(base: float | None, floor: float, student: float | None) -> dict[str, float]:
    """What the base was to reach and reached, and which part of it the student kept."""
    found = {"floor": floor}
    if base is not None:
        found["base"] = round(base, 4)
        if base and student is not None:
            found["kept_by_student"] = round(student / base, 4)
    return found
