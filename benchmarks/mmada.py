"""MMaDA before and after its distillation: images in few steps, answers in few forward passes.

    python benchmarks/mmada.py                        # the run of configs/quickstart_mmada.yaml
    python benchmarks/mmada.py --run FOLDER --showo runs/quickstart/student

Measured are the base that the run distilled and its student, on the test prompts and the validation
questions of the shapes world:

- images in 16, 4, 2 and 1 steps, the base in its own best way and as the student is sampled;
- answers by block diffusion at one step a token, and at a quarter and an eighth of the forward
  passes: exact matches, tokens a forward, tokens a second one question at a time.

Beside them stands Show-o, the shipped base and a student of the quickstart, whose answers are
decoded autoregressively and by Jacobi decoding. Rows go to `benchmarks/results/mmada.json` as soon
as they are done, and those that are there are not measured again; `mmada.md` has them as tables.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from method_runs.outcomes import Prompts, read_prompts

from showo_turbo.errors import UserError
from showo_turbo.evaluation import TextRecord, evaluate_images, evaluate_text, to_markdown
from showo_turbo.evaluation.environment import describe_hardware, source_version
from showo_turbo.evaluation.tables import Figures
from showo_turbo.evaluation.text import compared_decodings
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.shapes import ShapesChecker, ShapesWorld
from showo_turbo.utils.files import read_json, write_atomically, write_json

RUN = Path("runs/quickstart_mmada")
SHOWO = Path("runs/quickstart/student")
WORLD = Path("data/shapes")
RESULTS = Path(__file__).resolve().parent / "results" / "mmada.json"

STEPS = (16, 4, 2, 1)
SHARES = (1, 4, 8)
"""Of the forward passes of one step a token, each answer gets one in so many."""


def samplings(base: LoadedModel, student: LoadedModel) -> Iterator[tuple[str, ImageSampling]]:
    """The ways of sampling by what they are, each with every number of steps."""
    for steps in STEPS:
        yield "own", replace(base.sampling, sampling_steps=steps)
        yield "student", replace(student.sampling, sampling_steps=steps)


def image_rows(
    models: dict[str, LoadedModel], prompts: Prompts
) -> Iterator[tuple[dict[str, Any], Any]]:
    """Every row's key, and the work that measures it."""
    base, student = models.values()
    for name, bundle in models.items():
        for way, sampling in samplings(base, student):
            if bundle is student and way == "own":
                continue
            key = {"kind": "images", "model": name, "sampling": way}
            key["steps"] = sampling.sampling_steps

            def measure(
                bundle: LoadedModel = bundle, sampling: ImageSampling = sampling
            ) -> dict[str, Any]:
                score = evaluate_images(bundle, prompts, sampling, checker=ShapesChecker())
                passes = sampling.sampling_steps * (2 if sampling.guided else 1)
                low, high = score.ci95
                return {
                    "options": asdict(sampling),
                    "forward_passes": passes,
                    "n": score.n,
                    "score": round(score.score, 4),
                    "ci95": [round(low, 4), round(high, 4)],
                    "seconds_per_image": round(score.seconds_per_image or 0.0, 4),
                }

            yield key, measure


def decodings(bundle: LoadedModel) -> list[tuple[str, TextDecoding]]:
    """The ways of decoding a model's answers, by name."""
    if bundle.decoding.method != "block_diffusion":
        ways = compared_decodings(bundle.decoding, ("window",))
        return [(way.method, way) for way in ways]
    tokens = bundle.decoding.max_new_tokens
    found = [
        (f"1/{share}", replace(bundle.decoding, sampling_steps=tokens // share, temperature=0.0))
        for share in SHARES
    ]
    for _, way in found:
        way.check_for(bundle.network)  # before anything is measured
    return found


def text_rows(
    models: dict[str, LoadedModel], records: list[TextRecord], timed: int
) -> Iterator[tuple[dict[str, Any], Any]]:
    """Likewise for answers."""
    for name, bundle in models.items():
        for way, decoding in decodings(bundle):

            def measure(
                bundle: LoadedModel = bundle, decoding: TextDecoding = decoding
            ) -> dict[str, Any]:
                score = evaluate_text(bundle, records, decoding=decoding, timed=timed)
                return {
                    "options": asdict(decoding),
                    "forwards_per_answer": round(score.forwards / score.n, 3),
                    **score.to_dict(),
                }

            yield {"kind": "texts", "model": name, "decoding": way}, measure


def add_row(path: Path, row: dict[str, Any]) -> None:
    """Write a row into the results, and what it makes of full sampling's speed."""
    found = read_json(path) if path.exists() else {"rows": []}
    rows = [*found["rows"], row]
    full = {
        entry["model"]: entry["tokens_per_second"]
        for entry in rows
        if entry["kind"] == "texts" and entry["decoding"] in ("1/1", "autoregressive")
    }
    for entry in rows:
        own = full.get(entry["model"]) if entry["kind"] == "texts" else None
        if own:
            entry["speedup_over_full"] = round(entry["tokens_per_second"] / own, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    write_json(path, {"hardware": describe_hardware(device), "rows": rows})


def main() -> None:
    """Measure what is not in the results yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, default=RUN, help=f"the distillation ({RUN})")
    parser.add_argument("--base", type=Path, help="the base (the first teacher of the run)")
    parser.add_argument("--showo", type=Path, default=SHOWO, help=f"a student of Show-o ({SHOWO})")
    parser.add_argument("--world", type=Path, default=WORLD, help=f"a shapes world ({WORLD})")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file")
    parser.add_argument("--per_category", type=int, help="test prompts of a category; all")
    parser.add_argument("--questions", type=int, default=1000, help="validation questions (1000)")
    parser.add_argument("--timed", type=int, default=32, help="of them timed one by one (32)")
    options = parser.parse_args()
    base = options.base or options.run / "curriculum/round-0/teacher"
    folders = {"mmada": {"base": base, "student": options.run / "student"}}
    folders["showo"] = {"base": "shapes", "student": options.showo}
    if not (options.world / "prompts").is_dir():
        ShapesWorld(options.world, images=4000, documents=1000).write()
    prompts = read_prompts(options.world, "test", options.per_category)
    source = ShapesWorld(options.world).instructions("val").open(24)
    entries = [source.draw(index, index) for index in range(min(options.questions, len(source)))]
    records = [TextRecord(e["pixels"], e["question"], e["answer"]) for e in entries]
    there = read_json(options.output)["rows"] if options.output.exists() else []
    version = source_version()  # before the results change it
    for family, parts in folders.items():
        if not all(
            part == "shapes" or Path(part, "config.json").is_file() for part in parts.values()
        ):
            print(f"left out {family}: expected models in {parts['base']} and {parts['student']}")
            continue
        models = {
            f"{family} {name}": LoadedModel.from_pretrained(folder)
            for name, folder in parts.items()
        }
        rows = [*image_rows(models, prompts), *text_rows(models, records, options.timed)]
        for key, measure in rows:
            if any(key.items() <= row.items() for row in there):
                continue
            found = measure() | key
            found |= {"version": version, "threads": torch.get_num_threads()}
            add_row(options.output, found)
            shown = found.get("score", found.get("exact_match"))
            print(f"{', '.join(map(str, key.values()))}: {shown}", file=sys.stderr)
    write_tables(options.output)
    print(options.output)


def write_tables(path: Path) -> None:
    """The results as tables, in a file beside them."""
    found = read_json(path)
    images: dict[tuple[str, str], dict[int, str]] = {}
    texts: list[list[str]] = []
    for row in found["rows"]:
        if row["kind"] == "images":
            cells = images.setdefault((row["model"], row["sampling"]), {})
            cells[row["steps"]] = f"{row['score']:.3f} [{row['ci95'][0]:.3f}, {row['ci95'][1]:.3f}]"
        else:
            figures = (row["exact_match"], row["tokens_per_forward"], row["forwards_per_answer"])
            speeds = (row["tokens_per_second"], row.get("speedup_over_full", 0.0))
            texts.append(
                [row["model"], row["decoding"]]
                + [f"{value:.3f}" for value in figures]
                + [f"{speeds[0]:.0f}", f"{speeds[1]:.2f}"]
            )
    across = [[*key, *(cells.get(steps, "") for steps in STEPS)] for key, cells in images.items()]
    tables = [
        Figures(
            "Prompts satisfied, by sampling steps",
            ["model", "sampled as", *(str(steps) for steps in STEPS)],
            across,
        ),
        Figures(
            "Answers",
            [
                "model",
                "decoding",
                "exact",
                "tokens a pass",
                "passes an answer",
                "tokens/s",
                "speed",
            ],
            texts,
        ),
    ]
    with write_atomically(path.with_suffix(".md")) as temporary:
        temporary.write_text(f"{to_markdown(tables)}\n{found['hardware']}.\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
