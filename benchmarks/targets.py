"""What the quickstart should reach, and whether the figures of its report do.

python benchmarks/targets.py runs/quickstart/report.json
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from showo_turbo.evaluation import make_console, to_rich
from showo_turbo.evaluation.plan import STUDENT, TEACHER
from showo_turbo.evaluation.tables import Figures, number
from showo_turbo.utils.files import read_json


@dataclass(frozen=True)
class Target:
    """One figure with what it must reach and what it aims at.

    Attributes:
        figure: What is measured, in words.
        value: The measured value; None when it was not measured.
        must: Bound that has to be reached; None when the figure only has to be reported.
        aim: Better bound; None likewise.
        at_most: Whether smaller is better.
        above: Whether the bounds themselves are not enough.
    """

    figure: str
    value: float | None
    must: float | None
    aim: float | None
    at_most: bool = False
    above: bool = False

    def reached(self, bound: float | None) -> bool | None:
        """Whether the value reaches a bound; None when one of them is missing."""
        if self.value is None or bound is None:
            return None
        # Shares are fractions of counts: a bound that is met exactly must not fail by rounding.
        slack = -1e-9 if self.above else 1e-9
        return self.value <= bound + slack if self.at_most else self.value >= bound - slack


def distillation_targets(report: Mapping[str, Any]) -> list[Target]:
    """The targets that the quickstart is held to.

    Args:
        report: What `report.json` holds.
    """
    guidance = {int(steps): scale for steps, scale in report["guidance"].items()}
    table = {
        (row["model"], row["steps"], row["guidance"]): row["score"]
        for row in report["images"]
        if "score" in row
    }

    def teacher(steps: int) -> float | None:
        """The teacher's score with the guidance that was chosen for it."""
        return table.get((TEACHER, steps, guidance.get(steps, 0.0)))

    def student(steps: int) -> float | None:
        return table.get((STUDENT, steps, 0.0))

    stages = sorted({model for model, *_ in table} - {TEACHER, STUDENT}, key=_stage_number)
    previous = table.get((stages[-1], 2, 0.0)) if stages else None
    targets = [
        Target("teacher, 16 steps, its best guidance", teacher(16), 0.85, 0.95),
        Target(
            "student, 4 steps without guidance (must: the teacher's best at 8 steps and 93% of "
            "its best at 16; aim: 98% of its best at 16)",
            student(4),
            _highest(teacher(8), _times(0.93, teacher(16))),
            _times(0.98, teacher(16)),
        ),
        Target(
            "student, 2 steps without guidance (must: the teacher's best at 4 steps; aim: 92% of "
            "its best at 16)",
            student(2),
            teacher(4),
            _times(0.92, teacher(16)),
        ),
    ]
    if stages:
        targets.append(
            Target(
                f"student, 2 steps without guidance (aim: better than {stages[-1]})",
                student(2),
                None,
                previous,
                above=True,
            )
        )
    return targets + _text_targets(report["text"])


def _text_targets(text: list[dict[str, Any]]) -> list[Target]:
    jacobi = {row["model"]: row for row in text if row["driver"] == "block"}
    student = jacobi.get(STUDENT, {})
    reference = jacobi.get(TEACHER, {}).get("exact_match_long")
    return [
        Target(
            "student, Jacobi iterations for a full block",
            student.get("iterations_per_block"),
            10.0,
            5.0,
            at_most=True,
        ),
        Target(
            "student, exact match of captions (must: at most 2 points below the teacher; aim: at "
            "most 1 point)",
            student.get("exact_match_long"),
            None if reference is None else reference - 0.02,
            None if reference is None else reference - 0.01,
        ),
    ]


def _stage_number(name: str) -> int:
    digits = "".join(character for character in name if character.isdigit())
    return int(digits or 0)


def _times(factor: float, value: float | None) -> float | None:
    return None if value is None else factor * value


def _highest(*values: float | None) -> float | None:
    """The highest, or None if one is missing."""
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def _verdict(target: Target, bound: float | None) -> str:
    if bound is None:
        return ""
    reached = {True: "yes", False: "no", None: "not measured"}[target.reached(bound)]
    sign = "<=" if target.at_most else ">" if target.above else ">="
    return f"{reached} ({sign} {bound:.3f})"


def target_figures(targets: list[Target]) -> Figures:
    """Each target with its value and whether it was reached."""
    return Figures(
        "Targets",
        ["figure", "value", "must", "aim"],
        [
            [
                target.figure,
                number(target.value, 3),
                _verdict(target, target.must),
                _verdict(target, target.aim),
            ]
            for target in targets
        ],
    )


def main() -> None:
    """Print the targets of a report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("report", type=Path, help="report.json of a run of the quickstart")
    found = read_json(parser.parse_args().report)
    make_console().print(to_rich([target_figures(distillation_targets(found))]))


if __name__ == "__main__":
    main()
