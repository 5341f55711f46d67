"""How well the shipped base and a student change images: inpainting, extrapolation, editing.

    python benchmarks/abilities.py --student runs/quickstart/student

Each model's way of sampling is chosen on validation cases, for each ability and number of steps:
guidance, noise, what the mask schedule is a share of, and how much each round of editing masks.
Then it is scored on 300 other cases, and once more where it regenerates the images from the prompts
alone. The figures go to `benchmarks/results/abilities.json` as they come, and at the end images
beside it; scores are kept in a folder, so that an interrupted run goes on where it stopped.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, get_args

from ability_rows import FILE, floors, write_ability_rows
from base import WAYS
from rich.console import Console
from rich.progress import Progress

from showo_turbo.evaluation import (
    ABILITIES,
    AbilityScore,
    EvaluationPlan,
    ScoreCache,
    Share,
    ability_figures,
    to_markdown,
)
from showo_turbo.evaluation.abilities import Ability
from showo_turbo.evaluation.measurement import Measurement
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.sampling.editing import ImageEditing
from showo_turbo.sampling.image_sampling import ImageSampling, ScheduleBase
from showo_turbo.shapes import ShapesChecker
from showo_turbo.viz.changed_pictures import ChangedPictures

BASE, STUDENT = "base", "student"
FLOORS = {"inpainting": 0.90, "extrapolation": 0.70, "editing": 0.50}
"""What the base should reach with most steps, prompt and rest together."""

STUDENT_STEPS = 4
"""Steps in which the student should do nearly as well."""

EDITINGS = (ImageEditing(), ImageEditing(rounds=6, remasked="contradicting"))
"""Random tokens, and those that the prompt contradicts."""

EDITING_GUIDANCE = {BASE: (1.5,), STUDENT: (0.0, 1.0)}
"""Scales of 3 and more spoil what is generated next to known tokens."""

Way = tuple[ImageSampling, ImageEditing]


def candidates(name: str, bundle: LoadedModel, ability: Ability, steps: int) -> list[Way]:
    """What a model chooses from."""
    own = [bundle.sampling]
    if ability == "editing":
        own = [ImageSampling(reveal_order="halton") if name == BASE else bundle.sampling]
        own = [way.with_guidance(scale) for way in own for scale in EDITING_GUIDANCE[name]]
        return [(replace(way, sampling_steps=steps), how) for way, how in product(own, EDITINGS)]
    if name == BASE:
        own = [way.with_guidance(scale) for way in WAYS.values() for scale in (1.0, 2.0)]
    return [
        (replace(way, sampling_steps=steps, schedule_base=base), ImageEditing())
        for way, base in product(own, get_args(ScheduleBase))
    ]


def choose(measurement: Measurement, ability: Ability, ways: Sequence[Way], count: int) -> Way:
    """The way with most cases of validation right; the first of equally good ones."""
    checker = measurement.plan.ability_checker()
    cases = checker.ability_cases(ability, count, "validation")
    scores = [measurement.ability(checker, cases, way, False, editing) for way, editing in ways]
    return ways[max(range(len(ways)), key=lambda index: scores[index].share())]


def kept(rows: Sequence[AbilityScore]) -> dict[str, dict[str, float]]:
    """What the base reaches with most steps, and which part of it the student in few."""
    found = {}
    most = max((row.steps for row in rows), default=0)
    shares = {(r.model, r.ability, r.steps): r.share() for r in rows if not r.regenerated}
    for ability in ABILITIES:
        base = shares.get((BASE, ability, most))
        student = shares.get((STUDENT, ability, STUDENT_STEPS))
        found[ability] = floors(base, FLOORS[ability], student)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--student", help="folder of a distilled model of the shapes world")
    parser.add_argument("--steps", type=int, action="append", help="repeatable (16, 8, 4, 2)")
    parser.add_argument("--cases", type=int, default=300, help="of each ability (300)")
    parser.add_argument("--choice", type=int, default=90, help="cases of validation (90)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--scores", type=Path, default=Path("runs/abilities"))
    parser.add_argument("--output", type=Path, default=FILE)
    options = parser.parse_args()
    steps = sorted(options.steps or [16, 8, 4, 2], reverse=True)
    plan = EvaluationPlan(checker=ShapesChecker(), abilities=options.cases)
    checker, pictures = plan.ability_checker(), ChangedPictures(plan)
    models = {BASE: "shapes"} | ({STUDENT: options.student} if options.student else {})
    rows: list[AbilityScore] = []
    for name, model in models.items():
        bundle = LoadedModel.from_pretrained(model, "shapes", "shapes", device=options.device)
        bars = Progress(console=Console(width=160), disable=True)
        measurement = Measurement(name, bundle, plan, ScoreCache(options.scores), Share(), bars)
        for ability in ABILITIES:
            cases = checker.ability_cases(ability, options.cases)
            for count in steps:
                ways = candidates(name, bundle, ability, count)
                # Editing takes many rounds: half as many cases to choose on.
                asked = options.choice // (2 if ability == "editing" else 1)
                way, editing = choose(measurement, ability, ways, asked)
                for regenerate in (False, True):
                    rows.append(measurement.ability(checker, cases, way, regenerate, editing))
                found: list[dict[str, Any]] = [row.to_dict() for row in rows]
                chosen = {"choice": options.choice}
                told = {ability: said | chosen for ability, said in kept(rows).items()}
                write_ability_rows(options.output, found, told)
                pictures.add(name, bundle, [way], [ability], editing)
    pictures.write(options.output.parent)
    print(to_markdown(ability_figures(found)))
    print(f"written: {options.output}")


if __name__ == "__main__":
    main()
