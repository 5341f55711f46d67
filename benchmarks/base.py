"""Scores of the shipped base in 16 steps, as its model card gives them.

python benchmarks/base.py
"""

from pathlib import Path

from method_runs.outcomes import splits

from showo_turbo.evaluation import evaluate_images
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.shapes import ShapesChecker, ShapesWorld

WAYS = {
    "noise": ImageSampling(16, 1.0, token_temperature=0.5, confidence_temperature=2.0),
    "halton": ImageSampling(16, 1.0, reveal_order="halton"),
    "halton, drawn": ImageSampling(16, 1.0, reveal_order="halton", token_temperature=1.0),
}


def main() -> None:
    world = Path("runs/methods/data")
    ShapesWorld(world, images=12000, documents=1000, validation_images=400).write()
    base = LoadedModel.from_pretrained("shapes", "shapes", "shapes", device="cpu")
    prompts = splits(world)
    for name, sampling in WAYS.items():
        for split in ("choice", "test", "unseen"):
            found = evaluate_images(base, prompts[split], sampling, checker=ShapesChecker())
            low, high = found.ci95
            print(f"{name}, {split}, n = {found.n}: {found.score:.3f} [{low:.3f}, {high:.3f}]")


if __name__ == "__main__":
    main()
