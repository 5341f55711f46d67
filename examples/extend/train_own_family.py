"""Trains a base for `own_family.py` on the shapes world, distills it, and compares the two.

    python train_own_family.py

The base goes to `own_family/`, the run to `runs/own_family/`.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from own_family import LabelMaskGIT, LabelMaskGITConfig
from torch import Tensor
from torch.nn import functional

from showo_turbo.cli.main import main as showo_turbo
from showo_turbo.inference import ShowoPipeline
from showo_turbo.models.magvitv2 import MAGVITv2
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.shapes.checker import check_images
from showo_turbo.shapes.prompts import Prompt, Requirement
from showo_turbo.shapes.render import render
from showo_turbo.shapes.scene import BACKGROUNDS, CELLS, COLORS, SHAPES, Scene, SceneObject
from showo_turbo.shapes.wording import with_article
from showo_turbo.training.masking import mask_codes
from showo_turbo.training.optimizers import MuonWithAdamW, parameter_groups

FAMILY = "own_family.LabelMaskGIT"
LABEL_DROPOUT = 0.1


def label_prompts() -> list[Prompt]:
    """The labels: each colored shape alone, and each pair of two."""
    kinds = [(shape, color) for shape in SHAPES for color in COLORS]
    prompts = []
    for chosen in [*combinations(kinds, 1), *combinations(kinds, 2)]:
        text = " and ".join(with_article(f"{color} {shape}") for shape, color in chosen)
        category = "colors" if len(chosen) == 1 else "color_attribution"
        prompts.append(Prompt(text, category, tuple(Requirement(*kind) for kind in chosen)))
    return prompts


def write_data(folder: Path, prompts: list[Prompt]) -> None:
    """Write the captions to distill on, and the prompts to validate on."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [prompt.text for prompt in prompts]
    (folder / "labels.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    lines = [json.dumps(prompt.to_metadata()) for prompt in prompts]
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def draw_batches(prompts: list[Prompt], size: int, seed: int) -> Iterator[tuple[list[int], Tensor]]:
    """Batches of labels and of images `(size, 3, 24, 24)` in [-1, 1], without end."""
    numbers = np.random.default_rng(seed)
    while True:
        labels = numbers.integers(len(prompts), size=size).tolist()
        images = []
        for label in labels:
            kinds = prompts[label].requirements
            places = numbers.choice(len(CELLS), size=len(kinds), replace=False)
            objects = tuple(
                SceneObject(kind.shape, str(kind.color), *CELLS[place])
                for kind, place in zip(kinds, places, strict=True)
            )
            images.append(render(Scene(objects, str(numbers.choice(BACKGROUNDS)))))
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        yield labels, pixels / 127.5 - 1


def train_base(folder: Path, steps: int, batch_size: int = 64, **sizes: int) -> None:
    """Train the base by predicting masked codes, and write it as a model folder.

    Args:
        folder: Gets `base/`, and the data of `write_data`.
        steps: Optimizer steps.
        batch_size: Images a step.
        sizes: Of the network.
    """
    torch.manual_seed(0)
    prompts = label_prompts()
    write_data(folder, prompts)
    tokenizer = MAGVITv2.from_pretrained("shapes")
    network = LabelMaskGIT(LabelMaskGITConfig(tuple(p.text for p in prompts), **sizes))
    optimizer = MuonWithAdamW(parameter_groups(network), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 3e-3, steps, pct_start=0.1, cycle_momentum=False
    )
    batches = draw_batches(prompts, batch_size, seed=0)
    for step in range(steps):
        labels, pixels = next(batches)
        codes = tokenizer.encode(pixels)
        seeds = range(step * batch_size, (step + 1) * batch_size)
        masked = mask_codes(codes, network.mask_code, seeds)
        dropped = (torch.rand(batch_size) < LABEL_DROPOUT).tolist()
        rows = [
            network.null_prompt if without else [label]
            for label, without in zip(labels, dropped, strict=True)
        ]
        logits = network.image_logits(rows, masked)
        hidden = masked == network.mask_code
        loss = functional.cross_entropy(logits[hidden], codes[hidden])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 200 == 0 or step == steps - 1:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)
    network.save_pretrained(folder / "base")


def score(model: Path, sampling: ImageSampling) -> float:
    """Share of the labels whose image holds exactly what the label says."""
    prompts = label_prompts()
    pipeline = ShowoPipeline.from_pretrained(model, family=FAMILY)
    images = pipeline.generate([prompt.text for prompt in prompts], sampling).images
    results = check_images(np.stack([np.asarray(image) for image in images]), prompts)
    return sum(result.satisfied for result in results) / len(results)


def main() -> None:
    """Train, distill and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000, help="of the base's training")
    parser.add_argument("--only-base", action="store_true", help="train the base, and stop there")
    options = parser.parse_args()
    base = Path("own_family")
    train_base(base, options.steps)
    if options.only_base:
        return
    quickstart = Path(__file__).parents[2] / "configs" / "quickstart.yaml"
    showo_turbo(["fit", "-c", str(quickstart), "-c", "own_family.yaml"])
    order = {"shared_noise_seed": 9}
    teacher = ImageSampling(18, 1.0, confidence_temperature=4.0, **order)
    student = ImageSampling(4, confidence_temperature=1.5, **order)
    scores = {
        "teacher, 18 steps": score(base / "base", teacher),
        "teacher, 4 steps": score(base / "base", student),
        "student, 4 steps": score(Path("runs/own_family/student"), student),
    }
    for name, value in scores.items():
        print(f"{name}: {value:.3f}")
    share = scores["student, 4 steps"] / max(scores["teacher, 18 steps"], 1e-9)
    print(f"student in 4 steps / teacher in 18: {share:.3f}")


if __name__ == "__main__":
    main()
