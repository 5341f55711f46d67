"""What Show-o's three stages of pretraining are worth: against the second stage alone.

    python benchmarks/stages.py              # hours; with --steps 300 more than one, on one core

Trains `configs/stages/` on the shapes world: classes and captions, captions for both tasks,
instructions; and beside them stage 2 alone, and stage 3 alone, for as many steps as the three have
together. Scored are the test prompts in 16 guided steps, and exact answers to questions about
images of the validation split. Models and checkpoints are in `runs/stages`: the same command goes
on where it stopped. The figures go to `benchmarks/results/stages.json` and `stages.md` as they
come. One seed each.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from input_runs import showo_turbo
from method_runs.outcomes import read_prompts

from showo_turbo.evaluation import TextRecord, evaluate_images, evaluate_text, to_markdown
from showo_turbo.evaluation.environment import provenance
from showo_turbo.evaluation.tables import Figures, with_interval
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.shapes import ShapesChecker, ShapesWorld
from showo_turbo.utils.files import read_json, write_json, write_text

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results/stages.json"
CONFIGS = ROOT / "configs/stages"
STEPS, LEARNING_RATE = 700, 3e-3
TRAININGS = {
    "stage 1": (1, None, 1),
    "stages 1 and 2": (2, "stage 1", 1),
    "stages 1 to 3": (3, "stages 1 and 2", 1),
    "stage 2 alone": (2, None, 3),
    "stage 3 alone": (3, None, 3),
}
"""By name: the stage's file, the training that it starts from, and its length in stages."""


def folder_of(runs: Path, name: str) -> Path:
    """Where a training is."""
    return runs / name.replace(" ", "-")


def arguments_of(name: str, runs: Path, world: Path, steps: int) -> list[str]:
    """The arguments of `fit` that train a model.

    Args:
        name: One of `TRAININGS`.
        runs: Where the trainings are.
        world: The shapes world.
        steps: Of one stage.
    """
    stage, start, length = TRAININGS[name]
    steps *= length
    weights = "null" if start is None else folder_of(runs, start) / "model"
    options = {
        "model.initial_weights": weights,
        "model.lr_scheduler.total_steps": steps,
        "model.lr_scheduler.decay_steps": steps * 5 // 7,
        "data.shapes.folder": world,
        "trainer.max_steps": steps,
        "trainer.default_root_dir": folder_of(runs, name),
    }
    if start is None:  # a later stage trains with a lower rate where it goes on with weights
        options["model.optimizer.lr"] = LEARNING_RATE
    if stage == 1:
        options["data.captions.folder"] = runs / "classes"
    if stage < 3:
        captions = "data.instructions.captions"
        options[f"{captions}.images"] = world / "train2017"
        options[f"{captions}.annotations"] = world / "annotations/captions_train2017.json"
    files = ["-c", str(CONFIGS / "pretrain.yaml"), "-c", str(CONFIGS / f"stage_{stage}.yaml")]
    return [*files, *(f"--{option}={value}" for option, value in options.items())]


def train(name: str, runs: Path, world: Path, steps: int) -> Path:
    """The model of a training: gone on with where it stopped, and exported when it is done."""
    folder = folder_of(runs, name)
    if not (folder / "model/config.json").exists():
        showo_turbo("fit", *arguments_of(name, runs, world, steps), "--resume", "auto")
        showo_turbo("export", folder / "checkpoints/last.ckpt", folder / "model")
    return folder / "model"


def measure(model: Path, prompts: Any, records: Sequence[TextRecord]) -> dict[str, Any]:
    """The scores of a model's images and answers."""
    bundle = LoadedModel.from_pretrained(model, device="cpu")
    images = evaluate_images(
        bundle, prompts, bundle.sampling, split="test", checker=ShapesChecker()
    )
    decoding = TextDecoding(method="autoregressive")
    texts = evaluate_text(bundle, records, decoding=decoding, timed=0)
    return {"images": images.to_dict(), "text": texts.to_dict()}


def table(rows: Sequence[dict[str, Any]]) -> Figures:
    """One line a training."""
    lines = [
        [
            row["name"],
            str(row["steps"]),
            with_interval(row["images"]["score"], row["images"]["ci95"]),
            with_interval(row["text"]["exact_match"], row["text"]["ci95"]),
        ]
        for row in rows
    ]
    header = ["training", "steps in all", "prompts satisfied", "answers exact"]
    return Figures("Pretraining in stages", header, lines)


def described(found: dict[str, Any]) -> str:
    """The table with how it was measured."""
    rows = found["rows"]
    images, texts = (rows[0][kind]["n"] for kind in ("images", "text"))
    note = f"n = {images:,} prompts and {texts:,} questions; one seed."
    return f"{to_markdown([table(rows)])}\n{note} `{found['command']}`, {found['hardware']}.\n"


def main() -> None:
    """Train and measure what is not there yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/stages"))
    parser.add_argument("--world", type=Path, default=Path("data/shapes-pretrain"))
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of a stage ({STEPS})")
    parser.add_argument("--questions", type=int, default=1000, help="to score on (1000)")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    ShapesWorld(options.world, images=120000, documents=8000).write()
    prompts = read_prompts(options.world, "test")
    source = ShapesWorld(options.world).instructions("val").open(24)
    entries = [source.draw(index, index) for index in range(min(options.questions, len(source)))]
    records = [TextRecord(e["pixels"], e["question"], e["answer"]) for e in entries]
    rows = read_json(options.output)["rows"] if options.output.exists() else []
    for name, (_, start, length) in TRAININGS.items():
        if any(row["name"] == name for row in rows):
            continue
        model = train(name, options.runs, options.world, options.steps)
        before = next((row["steps"] for row in rows if row["name"] == start), 0)
        key = {"name": name, "steps": before + length * options.steps}
        rows.append(key | measure(model, prompts, records))
        found = provenance() | {"rows": rows}
        write_json(options.output, found)
        write_text(options.output.with_suffix(".md"), described(found))
    print(to_markdown([table(rows)]))


if __name__ == "__main__":
    main()
