"""Trajectories used 1, 2, 4 or 8 times, at the same number of optimizer steps, on the shapes world.

    python benchmarks/reuse.py run --seeds 0 1 2
    python benchmarks/reuse.py table

Every run has one stage with the base as its teacher and a constant learning rate, and trains on as
many samples as the others; what differs is how many trajectories are collected for them. `run`
trains and measures what is missing, one process a run, into `runs/reuse`, and writes what became of
every prompt to `benchmarks/results/reuse/uses<n>-seed<seed>.json`; interrupted, the same command
goes on. `table` writes `benchmarks/results/reuse.json` and `reuse.md`.
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "method_runs"))
from run import cost_of, fit, measure, overlay

from showo_turbo.evaluation import to_markdown
from showo_turbo.evaluation.environment import describe_hardware, provenance
from showo_turbo.evaluation.tables import Figures
from showo_turbo.shapes import ShapesWorld
from showo_turbo.utils.files import read_json, write_atomically, write_json

HERE = Path(__file__).resolve().parent
USES = (1, 2, 4, 8)
IMAGES, TEXTS = 12288, 1152
"""Samples of a run: 192 steps with the batches of the quickstart."""


def main() -> None:
    """Run, or make the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("run", "one", "table"), help="one: for `run` itself")
    parser.add_argument("--uses", nargs="+", type=int, default=USES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=IMAGES, help="samples of images in a run")
    parser.add_argument("--texts", type=int, default=TEXTS, help="answers in a run")
    parser.add_argument("--world", type=int, default=12000, help="images of the shapes world")
    parser.add_argument("--runs", type=Path, default=Path("runs/reuse"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    options = parser.parse_args()
    if options.action == "table":
        write_table(options.results)
        return
    world = options.runs / "data"
    ShapesWorld(world, images=options.world, documents=1000, validation_images=400).write()
    for seed in options.seeds:
        for uses in options.uses:
            place = options.results / f"reuse/uses{uses}-seed{seed}.json"
            if options.action == "one":
                train(uses, seed, options, world, place)
            elif not place.exists():
                given = ["one", "--uses", uses, "--seeds", seed, "--runs", options.runs]
                given += ["--results", options.results, "--world", options.world]
                given += ["--images", options.images, "--texts", options.texts]
                # A process of its own, so that one run leaves nothing to the next.
                subprocess.run([sys.executable, __file__, *map(str, given)], check=True)


def train(uses: int, seed: int, options: argparse.Namespace, world: Path, place: Path) -> None:
    """Train and measure one student."""
    folder = options.runs / f"uses{uses}-seed{seed}"
    stage = {
        "epochs": uses,
        "image_segments": 1,
        "text_segments": 4,
        "image_trajectories": options.images // uses,
        "text_trajectories": max(1, options.texts // uses),
        "learning_rate": 8.0e-4,
    }
    fit(folder, overlay(folder, world, seed, {}, [stage]))
    cost = cost_of(folder)
    found = {"uses": uses, "seed": seed, "training": cost} | measure(folder, world, {})
    write_json(place, found | provenance())


def write_table(results: Path) -> None:
    """Means and deviations over the seeds, by how often a trajectory was used."""
    found: dict[int, dict[str, list[float]]] = {}
    for path in sorted((results / "reuse").glob("uses*-seed*.json")):
        run = read_json(path)
        values = {f"{steps} steps": share(marks) for steps, marks in run["test"].items()}
        values["4 steps, unseen"] = share(run["unseen"]["4"])
        values["exact match"] = share(run["text"]["matched"])
        values["CPU minutes"] = run["training"]["seconds"] / 60
        for name, value in values.items():
            found.setdefault(run["uses"], {}).setdefault(name, []).append(value)
    rows = [
        {"uses": uses} | {name: summary(values) for name, values in figures.items()}
        for uses, figures in sorted(found.items())
    ]
    write_json(results / "reuse.json", {"rows": rows} | provenance())
    names = [name for name in rows[0] if name != "uses"] if rows else []
    cells = [
        [str(row["uses"]), *(f"{row[n]['mean']:.3f} ± {row[n]['deviation']:.3f}" for n in names)]
        for row in rows
    ]
    table = Figures("Students by how often each trajectory was used", ["uses", *names], cells)
    text = to_markdown([table])
    with write_atomically(results / "reuse.md") as temporary:
        note = "Mean and deviation over seeds, at the same number of optimizer steps"
        temporary.write_text(f"{text}\n{note}. {describe_hardware()}.\n", encoding="utf-8")
    print(text)


def share(marks: str) -> float:
    """Share of the outcomes `0` and `1` that are right."""
    return marks.count("1") / len(marks)


def summary(values: list[float]) -> dict[str, Any]:
    """Mean, deviation and number."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    mean = round(statistics.fmean(values), 4)
    return {"mean": mean, "deviation": round(deviation, 4), "n": len(values)}


if __name__ == "__main__":
    main()
