"""Tables 3 and 4 of the paper on the shapes world: mean and deviation over seeds.

First the runs, then this script:

    showo-turbo fit -c configs/quickstart.yaml
    showo-turbo sweep -c configs/quickstart.yaml --sweep configs/sweeps/table_3.yaml
    python benchmarks/ablations.py runs/sweeps/table_3

It writes `ablations.json` and `ablations.md` to `benchmarks/results`.
"""

import argparse
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from showo_turbo.data import PromptFile
from showo_turbo.errors import UserError
from showo_turbo.evaluation import evaluate_images, to_markdown
from showo_turbo.evaluation.environment import describe_hardware, provenance
from showo_turbo.evaluation.image_scores import ImageScore
from showo_turbo.evaluation.tables import Figures
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.shapes import ShapesChecker
from showo_turbo.utils.files import read_json, write_atomically, write_json

DEFAULT = "default"
STEPS = (16, 8, 4, 2)
TOP_KS = (1, 5, 20, 100, 512)
Trial = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep", type=Path, help="folder of the sweep")
    parser.add_argument("--prompts", type=Path, default=Path("data/shapes/prompts/test.jsonl"))
    parser.add_argument("--per_category", type=int, default=60)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    trials = finished_trials(options.sweep)
    defaults = [trial for trial in trials if trial["variant"] == DEFAULT]
    if not defaults:
        raise UserError(f"no trial of the variant {DEFAULT} in {options.sweep} is complete")
    start = start_figures(defaults[0], options.prompts)
    variants = by_variant(trials, student_figures)
    top_k = by_variant(
        defaults, lambda trial: top_k_figures(trial, options.prompts, options.per_category)
    )
    found = {
        "start": {name: round(value, 4) for name, value in start.items()},
        "table_3": variants,
        "table_4": top_k,
    }
    write_json(options.output / "ablations.json", found | provenance())
    text = to_markdown([table_3(variants, start), table_4(top_k)])
    with write_atomically(options.output / "ablations.md") as temporary:
        temporary.write_text(f"{text}\nMean and deviation over seeds. {describe_hardware()}.\n")
    print(text)


def finished_trials(folder: Path) -> list[Trial]:
    """The trials of a sweep that ran to their end."""
    rows = read_json(folder / "sweep.json")["trials"]
    trials = [row for row in rows if row["state"] == "COMPLETE"]
    if not trials:
        raise UserError(f"no trial of the sweep in {folder} is complete; run the sweep first")
    return trials


def by_variant(
    trials: Iterable[Trial], measure: Callable[[Trial], dict[str, float]]
) -> dict[str, dict[str, dict[str, float]]]:
    """Mean, deviation and count of every figure of every variant, over its seeds."""
    values: dict[str, dict[str, list[float]]] = {}
    for trial in trials:
        for name, value in measure(trial).items():
            values.setdefault(trial["variant"], {}).setdefault(name, []).append(value)
    return {
        variant: {
            name: {
                "mean": round(statistics.fmean(found), 4),
                "deviation": round(statistics.stdev(found), 4) if len(found) > 1 else 0.0,
                "n": len(found),
            }
            for name, found in figures.items()
        }
        for variant, figures in values.items()
    }


def report_of(trial: Trial) -> dict[str, Any]:
    """A trial's report."""
    report: dict[str, Any] = read_json(Path(trial["folder"]) / "report.json")
    return report


def student_figures(trial: Trial) -> dict[str, float]:
    """The student's figures in a trial's report."""
    report = report_of(trial)
    figures = {
        f"{row['steps']} steps": row["score"]
        for row in report["images"]
        if row["model"] == "student" and row["guidance"] == 0
    }
    for row in report["text"]:
        if row["model"] == "student" and row["decoding"] == "jacobi":
            figures["exact match"] = row["exact_match"]
            figures["iterations per block"] = row["iterations_per_block"]
    return {name: value for name, value in figures.items() if value is not None}


def start_figures(trial: Trial, prompts: Path) -> dict[str, float]:
    """The scores of the model that the trials begin with, on the prompts of their reports."""
    settings = report_of(trial)["settings"]
    config = yaml.safe_load((Path(trial["folder"]) / "trial.yaml").read_text(encoding="utf-8"))
    scores = scores_of(
        Path(config["model"]["init_args"]["student"]),
        PromptFile(prompts, settings["prompts_per_category"]),
        [
            ImageSampling(**settings["sampling"] | {"sampling_steps": n})
            for n in settings["sampling_steps"]
        ],
    )
    return {f"{row.steps} steps": row.score for row in scores}


def top_k_figures(trial: Trial, prompts: Path, per_category: int) -> dict[str, float]:
    """The student's scores by top-k and steps, codes drawn at temperature 1."""
    base = ImageSampling(**report_of(trial)["settings"]["sampling"])
    scores = scores_of(
        Path(trial["folder"]) / "student",
        PromptFile(prompts, per_category),
        [
            replace(base, sampling_steps=steps, token_temperature=1.0, top_k=top_k)
            for top_k in TOP_KS
            for steps in STEPS
        ],
    )
    return {f"k = {row.top_k}, {row.steps} steps": row.score for row in scores}


def scores_of(
    model: Path, prompts: PromptFile, samplings: Sequence[ImageSampling]
) -> list[ImageScore]:
    """A model's scores on prompts."""
    bundle = LoadedModel.from_pretrained(model, "shapes", "shapes", device="cpu")
    entries = [prompts.draw(index, index)["metadata"] for index in range(len(prompts))]
    return [
        evaluate_images(bundle, entries, sampling, checker=ShapesChecker())
        for sampling in samplings
    ]


def table_3(found: dict[str, dict[str, dict[str, float]]], start: dict[str, float]) -> Figures:
    columns = list(dict.fromkeys(name for figures in found.values() for name in figures))
    before = [f"{start[name]:.3f}" if name in start else "" for name in columns]
    rows = [["where they begin", *before]]
    rows += [
        [variant.replace("_", " "), *(shown(figures.get(name)) for name in columns)]
        for variant, figures in found.items()
    ]
    return Figures("Prompts satisfied by the student, without guidance", ["", *columns], rows)


def table_4(found: dict[str, dict[str, dict[str, float]]]) -> Figures:
    figures = found.get(DEFAULT, {})
    rows = [
        [str(top_k), *(shown(figures.get(f"k = {top_k}, {steps} steps")) for steps in STEPS)]
        for top_k in TOP_KS
    ]
    titles = [f"{steps} steps" for steps in STEPS]
    return Figures("Prompts satisfied by the student, by top-k", ["top-k", *titles], rows)


def shown(figure: dict[str, float] | None) -> str:
    return "" if figure is None else f"{figure['mean']:.3f} ± {figure['deviation']:.3f}"


if __name__ == "__main__":
    main()
