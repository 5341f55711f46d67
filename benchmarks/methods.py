"""Compares methods of distillation on the shapes world, each with the same base and prompts.

    python benchmarks/methods.py run --methods renewed published --seeds 0 1 2
    python benchmarks/methods.py table

`run` trains what is missing, one process a method and seed, into `runs/methods`, and writes the
outcome of every prompt to `benchmarks/results/methods/<method>-seed<seed>.json`; interrupted, the
same command goes on. `table` computes the shares of the teacher from these files and writes
`benchmarks/results/methods.json` and `methods.md`. The methods are in `method_runs/methods.yaml`.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "method_runs"))
from figures import as_array, figures_of, read_runs, score
from outcomes import TEACHER_STEPS, choose, image_outcomes, splits, text_outcomes, variety
from run import read_methods

from showo_turbo.evaluation import to_markdown
from showo_turbo.evaluation.environment import provenance
from showo_turbo.evaluation.tables import Figures
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.shapes import ShapesWorld
from showo_turbo.utils.files import read_json, write_atomically, write_json

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
FIXED_ORDER = ImageSampling(TEACHER_STEPS, confidence_temperature=10.0, shared_noise_seed=9)
NOISE = ImageSampling(TEACHER_STEPS, confidence_temperature=2.0)
DRAWN = ImageSampling(TEACHER_STEPS, token_temperature=0.5, confidence_temperature=2.0)
HALTON = ImageSampling(TEACHER_STEPS, reveal_order="halton")
CANDIDATES = (
    replace(FIXED_ORDER, guidance_scale=1.0),
    replace(FIXED_ORDER, guidance_scale=2.0),
    replace(FIXED_ORDER, guidance_scale=0.0, guidance_end=4.0),
    replace(NOISE, guidance_scale=1.0),
    replace(DRAWN, guidance_scale=1.0),
    replace(DRAWN, guidance_scale=2.0),
    replace(DRAWN, guidance_scale=0.0, guidance_end=2.0),
    replace(HALTON, guidance_scale=1.0),
    replace(HALTON, guidance_scale=2.0),
)
"""Ways in which the teacher may sample."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("run", "table"))
    parser.add_argument("--methods", nargs="+", default=list(read_methods()["methods"]))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/methods"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    world = options.runs / "data"
    ShapesWorld(world, images=24000, documents=1000, validation_images=400).write()
    if options.action == "run":
        run(options.methods, options.seeds, options.runs, world, options.results / "methods")
    else:
        write_table(options.results, world)


def run(
    methods: Sequence[str], seeds: Sequence[int], runs: Path, world: Path, results: Path
) -> None:
    """Measure the teacher, and train and measure what is missing."""
    if not (results / "teacher.json").exists():
        write_json(results / "teacher.json", measure_teacher(world) | provenance())
    described = read_methods()["methods"]
    for seed in seeds:
        for method in methods:
            if (results / f"{method}-seed{seed}.json").exists():
                continue
            first = runs / f"first-seed{seed}"
            if not described[method].get("from_base") and not (first / "student").exists():
                process("first", seed, runs, world, results)
            process(method, seed, runs, world, results)


def process(method: str, seed: int, runs: Path, world: Path, results: Path) -> None:
    """Train and measure in a process of its own, so that one run leaves nothing to the next."""
    command = [sys.executable, HERE / "method_runs/run.py", method, seed, runs, world, results]
    subprocess.run(list(map(str, command)), check=True)


def measure_teacher(world: Path) -> dict[str, Any]:
    """The base at its best in 16 guided steps, its way of sampling being chosen for each split."""
    bundle = LoadedModel.from_pretrained("shapes", "shapes", "shapes", device="cpu")
    prompts = splits(world)
    found: dict[str, Any] = {"steps": TEACHER_STEPS}
    for split, choice in (("test", "choice"), ("unseen", "unseen_choice")):
        best, tried = choose(bundle, prompts[choice], CANDIDATES)
        found[split] = {
            "sampling": asdict(best),
            "outcomes": image_outcomes(bundle, prompts[split], best),
            "tried": tried,
        }
    # Variety needs a sampler whose images differ: one that draws its tokens.
    drawn = [row["score"] if row["token_temperature"] else 0.0 for row in found["test"]["tried"]]
    best = CANDIDATES[drawn.index(max(drawn))]
    found["variety"] = variety(bundle, prompts["test"], best) | {
        "sampling": asdict(best),
        "outcomes": image_outcomes(bundle, prompts["test"], best),
    }
    found["text"] = text_outcomes(bundle, world, TextDecoding(max_new_tokens=96))
    return found


def write_table(results: Path, world: Path) -> None:
    """Compute the figures from the outcomes, and write them."""
    teacher = read_json(results / "methods/teacher.json")
    methods = read_runs(results / "methods")
    rows = [figures_of(name, runs, teacher, world) for name, runs in methods.items()]
    named = {
        "steps": teacher["steps"],
        "images": figures_of_teacher(teacher, world),
        "variety": teacher["variety"]["distinct"],
        "text": {"exact_match": share_of(teacher["text"]["matched"])},
    }
    write_json(results / "methods.json", {"teacher": named, "methods": rows} | provenance())
    text = to_markdown([table(rows)])
    with write_atomically(results / "methods.md") as temporary:
        temporary.write_text(f"{text}\nShares of the teacher. {measured_on(methods)}\n", "utf-8")
    print(text)


def measured_on(methods: dict[str, list[dict[str, Any]]]) -> str:
    """Where each method's runs were measured, in a sentence for each hardware."""
    names: dict[str, list[str]] = {}
    for name, runs in methods.items():
        for hardware in dict.fromkeys(run["hardware"] for run in runs):
            names.setdefault(hardware, []).append(name.replace("_", " "))
    return " ".join(f"{hardware}: {', '.join(own)}." for hardware, own in names.items())


def figures_of_teacher(teacher: dict[str, Any], world: Path) -> dict[str, float]:
    """The base's scores, by split."""
    found = splits(world)
    return {
        split: round(
            score(
                as_array([teacher[split]["outcomes"]]),
                [str(entry["tag"]) for entry in found[split]],
            ),
            4,
        )
        for split in ("test", "unseen")
    }


def share_of(outcomes: str) -> float:
    """Share of right ones."""
    return round(outcomes.count("1") / len(outcomes), 4)


def table(rows: Sequence[dict[str, Any]]) -> Figures:
    """One line a method."""
    titles = ["", "seeds", *"8421", "unseen, 4", "variety", "exact", "tokens", "forwards"]
    lines = []
    for row in rows:
        images = [f"{row['images'][s]['share']:.3f}" for s in ("8", "4", "2", "1")]
        lines.append(
            [
                row["name"].replace("_", " "),
                str(row["seeds"]),
                *images,
                f"{row['unseen']['share']:.3f}",
                f"{row['variety']['share']:.2f}",
                f"{row['text']['exact_match']:.3f}",
                f"{row['text']['tokens_per_forward']:.2f}",
                f"{row['training']['forwards']:,}",
            ]
        )
    return Figures("Students as shares of their teacher, by steps", titles, lines)


if __name__ == "__main__":
    main()
