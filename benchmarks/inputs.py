"""What a model is given of the images it is asked about: codes, latents, or features of an encoder.

    python benchmarks/inputs.py                       # two to three hours on one core

Compared on the shapes world, on the axes of Table 5 of Show-o (arXiv 2408.12528): the three kinds
of inputs, each with and without unified pretraining. With it, a training starts from the shipped
base; without it, from a network of the same size that has learned nothing but plain text. Features
get a projector, which learns alone from descriptions first; then all weights learn from questions,
in as many steps whatever the input. In place of CLIP stands a small vision transformer that is
trained here by contrast (`shapes_clip.py`).

Scores are exact answers to questions about images of the validation split, greedily decoded. They
go to `benchmarks/results/inputs.json` as they come, and at the end to `inputs.md`. Models and
checkpoints are in `runs/inputs`: the same command goes on where it stopped, and does nothing again
that is finished. One seed each.
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from input_runs import BASE, SMOKE, Runs, Scale

from showo_turbo.evaluation import TextRecord, evaluate_text, to_markdown
from showo_turbo.evaluation.environment import describe_hardware, provenance
from showo_turbo.evaluation.tables import Figures, with_interval
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.utils.files import read_json, write_json, write_text

RESULTS = Path(__file__).resolve().parent / "results"
KINDS = {"codes": "codes", "latents": "MAGVIT-v2 latents", "clip": "vision transformer"}
STARTS = {"unified": "shapes base", "language": "text alone"}
PARTS = ("all", "descriptions", "short")


def measure(model: str | Path, records: list[TextRecord]) -> dict[str, Any]:
    """The score of a model's answers."""
    bundle = LoadedModel.from_pretrained(model, device="cpu")
    decoding = TextDecoding(method="autoregressive")
    return evaluate_text(bundle, records, decoding=decoding, timed=0).to_dict()


def table(rows: list[dict[str, Any]], count: int) -> Figures:
    """One line a kind of inputs."""
    found = {(row["input"], row["start"]): row for row in rows if row["steps"]}
    header = ["input", *(f"{which}, {start}" for start in STARTS.values() for which in PARTS)]
    lines = []
    for kind, name in KINDS.items():
        line = [name]
        for start in STARTS:
            row = found.get((kind, start))
            line += ["", "", ""] if row is None else cells(row)
        lines.append(line)
    return Figures(f"Exact answers by input and start (n = {count})", header, lines)


def cells(row: dict[str, Any]) -> list[str]:
    """The shares of all answers, of the long ones, and of the others."""
    parts = [row[f"exact_match_{part}"] for part in ("long", "short")]
    return [
        with_interval(row["exact_match"], row["ci95"]),
        *("" if share is None else f"{share:.3f}" for share in parts),
    ]


def main() -> None:
    """Train and measure what is not there yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/inputs"))
    parser.add_argument("--output", type=Path, default=RESULTS / "inputs.json")
    parser.add_argument("--only", action="append", choices=list(KINDS), help="repeatable (all)")
    parser.add_argument("--smoke", action="store_true", help="tiny work, to see that it runs")
    options = parser.parse_args()
    scale = SMOKE if options.smoke else Scale()
    runs = Runs(options.runs, scale)
    records = runs.records()
    path = options.output
    rows: list[dict[str, Any]] = read_json(path)["rows"] if path.exists() else []
    wanted = [("codes", "unified", 0)]  # the base as it is
    wanted += [(kind, start, scale.steps) for start in STARTS for kind in options.only or KINDS]
    about = {"scale": asdict(scale), "retrieval": runs.retrieval, **provenance()}
    for kind, start, steps in wanted:
        key = {"input": kind, "start": start, "steps": steps}
        if any(key.items() <= row.items() for row in rows):
            continue
        rows.append(key | measure(runs.model(kind, start) if steps else BASE, records))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, about | {"rows": rows})
        print(f"{kind}, {start}: {rows[-1]['exact_match']}", flush=True)
    text = to_markdown([table(rows, len(records))])
    write_text(path.with_suffix(".md"), f"{text}\nOne seed each. {describe_hardware()}.\n")
    print(text)


if __name__ == "__main__":
    main()
