"""Score base and student by retrieval: is the emoji that was asked for the nearest of all?

python recipes/openmoji/score.py --base runs/openmoji/base/model --student MODEL_FOLDER
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from recipes.openmoji.retrieval import NearestPicture

from showo_turbo.errors import UserError
from showo_turbo.evaluation import wilson_interval
from showo_turbo.evaluation.environment import describe_hardware, source_version
from showo_turbo.evaluation.tables import Figures, to_markdown, with_interval
from showo_turbo.inference import ShowoPipeline
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.utils.files import write_atomically, write_json
from showo_turbo.viz.pictures import GridColumn, draw_image_grid

STEPS = (16, 8, 4, 2)
ATTRIBUTION = "Images learned from OpenMoji (openmoji.org), CC BY-SA 4.0; this grid likewise."
SHOWN = 8


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, judge, and write figures and a grid."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("data/openmoji"))
    parser.add_argument("--base", required=True)
    parser.add_argument("--student", required=True)
    parser.add_argument("--guidance", type=float, default=2.0, help="of the base")
    parser.add_argument("--prompts", type=int, default=400, help="of each file")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/openmoji"))
    options = parser.parse_args(arguments)
    models = {
        name: ShowoPipeline.from_pretrained(place)
        for name, place in (("base", options.base), ("student", options.student))
    }
    ways = {
        "base": replace(models["base"].sampling, guidance_scale=options.guidance),
        "student": models["student"].sampling,
    }
    side = models["base"].resolution
    pictures = options.data / "pictures"
    folder = Path(options.base) / "image_tokenizer"
    checkers = {
        "pixels": NearestPicture(pictures, side),
        "features": NearestPicture(pictures, side, str(folder)),
    }
    rows: list[dict[str, Any]] = []
    columns = []
    for split in ("test", "unseen_combination"):
        prompts = read_prompts(options.data / "prompts" / f"{split}.jsonl", options.prompts)
        for name, pipeline in models.items():
            for steps in STEPS:
                sampling = replace(ways[name], sampling_steps=steps)
                pixels, seconds = drawn(pipeline, prompts, sampling)
                marks = {kind: one.judge(pixels, prompts) for kind, one in checkers.items()}
                rows.append(score(split, name, steps, marks, seconds / len(prompts)))
                if split == "test" and (name, steps) in (("base", 16), ("student", 4)):
                    title = f"{name}\n{steps} steps"
                    shown = marks["pixels"][:SHOWN]
                    columns.append(GridColumn(title, pixels[:SHOWN], shown))
                    captions = [entry["prompt"] for entry in prompts[:SHOWN]]
    options.output.mkdir(parents=True, exist_ok=True)
    found = {
        "command": "bash recipes/openmoji/run.sh",
        "hardware": describe_hardware(),
        "commit": source_version(),
        "attribution": ATTRIBUTION,
        "pictures": len(list(pictures.glob("*.png"))),
        "rows": rows,
    }
    write_json(options.output / "results.json", found)
    with write_atomically(options.output / "results.md") as temporary:
        temporary.write_text(to_markdown(tables(rows)) + f"\n{ATTRIBUTION}\n", encoding="utf-8")
    draw_image_grid(captions, columns, options.output / "grid.png")
    print(f"written: {options.output}/results.json, results.md, grid.png")


def read_prompts(path: Path, count: int) -> list[dict[str, Any]]:
    """Some of a file's prompts, evenly chosen."""
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if len(entries) <= count:
        return entries
    return [entries[index * len(entries) // count] for index in range(count)]


def drawn(
    pipeline: ShowoPipeline, prompts: Sequence[dict[str, Any]], sampling: ImageSampling
) -> tuple[torch.Tensor, float]:
    """Pixels of the prompts, and the seconds of decoding."""
    found = pipeline.generate([entry["prompt"] for entry in prompts], sampling)
    return pipeline.square_images(found.images).cpu(), found.statistics.seconds


def score(
    split: str, model: str, steps: int, marks: dict[str, list[bool]], seconds: float
) -> dict[str, Any]:
    """A row: the share of right images by each way of judging, with its interval."""
    row: dict[str, Any] = {"split": split, "model": model, "steps": steps}
    for kind, right in marks.items():
        low, high = wilson_interval(sum(right), len(right))
        row |= {"n": len(right), kind: round(sum(right) / len(right), 4)}
        row[f"{kind}_ci95"] = [round(low, 4), round(high, 4)]
    return row | {"seconds_per_image": round(seconds, 6)}


def tables(rows: Sequence[dict[str, Any]]) -> list[Figures]:
    """A table for each set of prompts and each way of judging, with what the student keeps."""
    found = []
    for split in dict.fromkeys(row["split"] for row in rows):
        own = [row for row in rows if row["split"] == split]
        for kind in ("pixels", "features"):
            by_model = {
                name: {row["steps"]: row for row in own if row["model"] == name}
                for name in ("base", "student")
            }
            whole = by_model["base"][max(STEPS)][kind]
            body = [
                [name, *(with_interval(at[n][kind], at[n][f"{kind}_ci95"]) for n in STEPS)]
                for name, at in by_model.items()
            ]
            kept = [by_model["student"][n][kind] / whole if whole else 0.0 for n in STEPS]
            body.append(["kept of the base in 16", *(f"{share:.0%}" for share in kept)])
            title = f"Nearest by {kind} ({split.replace('_', ' ')}, n = {own[0]['n']})"
            found.append(Figures(title, ["", *(f"{n} steps" for n in STEPS)], body))
    return found


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
