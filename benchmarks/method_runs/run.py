"""Trains and measures one method with one seed, as a process of its own; see `methods.py`."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from counting import ForwardCounter
from outcomes import student_outcomes

from showo_turbo.cli.main import main as showo_turbo
from showo_turbo.evaluation.environment import provenance
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.utils.files import write_json

HERE = Path(__file__).resolve().parent
QUICKSTART = HERE.parents[1] / "configs/quickstart.yaml"
LAST = Path("checkpoints/last.ckpt")


def read_methods() -> dict[str, Any]:
    """What `methods.yaml` says."""
    found: dict[str, Any] = yaml.safe_load((HERE / "methods.yaml").read_text(encoding="utf-8"))
    return found


def overlay(
    folder: Path, world: Path, seed: int, method: dict[str, Any], stages: list[Any]
) -> dict[str, Any]:
    """What a run changes of the quickstart's configuration."""
    callbacks: list[dict[str, Any]] = [
        {
            "class_path": "Curriculum",
            "init_args": {
                "batch_size": 64,
                "topk_targets": method.get("topk_targets", 1),
                "stages": [with_weights(stage, method) for stage in stages],
            },
        },
        {"class_path": "FiniteGuard"},
        {
            "class_path": "StepCheckpoint",
            "init_args": {"save_last": True, "save_on_train_epoch_end": True},
        },
        {"class_path": "ExportStudent"},
        {"class_path": "counting.ForwardCounter"},
    ]
    quickstart = yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))["model"]["init_args"]
    model: dict[str, Any] = {
        "noise_size": method.get("noise_size", 0),
        "losses": quickstart["losses"] | method.get("losses", {}),
        "sampling": quickstart["sampling"] | method.get("sampling", {}),
    }
    return {
        "seed_everything": seed,
        "model": {"init_args": model},
        "data": {"init_args": {"seed": seed, "shapes": {"init_args": {"folder": str(world)}}}},
        "trainer": {"default_root_dir": str(folder), "callbacks": callbacks},
    }


def with_weights(stage: dict[str, Any], method: dict[str, Any]) -> dict[str, Any]:
    """A stage with the method's weights of loss terms."""
    weights = method.get("loss_weights")
    return stage if weights is None else stage | {"loss_weights": weights}


def fit(folder: Path, config: dict[str, Any], branch: Path | None = None) -> None:
    """Train, going on where an earlier try ended."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "overlay.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    arguments = ["fit", "-c", str(QUICKSTART), "-c", str(path)]
    if branch is not None and not (folder / LAST).exists():
        shutil.copytree(branch / "curriculum", folder / "curriculum", dirs_exist_ok=True)
        arguments += ["--ckpt_path", str(branch / LAST)]
    else:
        arguments += ["--resume", "auto"]
    showo_turbo(arguments)


def measure(folder: Path, world: Path, method: dict[str, Any]) -> dict[str, Any]:
    """Measure the student of a finished run."""
    exported = folder / "student"
    bundle = LoadedModel.from_pretrained(exported, "shapes", "shapes", device="cpu")
    options = json.loads((exported / "generation_config.json").read_text(encoding="utf-8"))
    sampling = ImageSampling(**options["images"])
    decoding = TextDecoding(**options["texts"])
    return student_outcomes(bundle, world, sampling, decoding, method.get("revise_below", ()))


def cost_of(folder: Path) -> dict[str, int]:
    """The forward passes of a run and its CPU time, from its last checkpoint."""
    state = torch.load(folder / LAST, weights_only=True, map_location="cpu")
    counter = ForwardCounter()
    counter.load_state_dict(state["callbacks"]["ForwardCounter"])
    seconds = round(counter.seconds)
    return {"forwards": counter.forwards, "seconds": seconds} | counter.counts


def main() -> None:
    """Train and measure: `run.py NAME SEED RUNS WORLD RESULTS`."""
    name, seed = sys.argv[1], int(sys.argv[2])
    runs, world, results = map(Path, sys.argv[3:])
    sys.path.insert(0, str(HERE))
    described = read_methods()
    method = described["methods"].get(name, {})
    first = runs / f"first-seed{seed}"
    folder = runs / f"{name}-seed{seed}"
    from_base = method.get("from_base", False)
    stages = method.get("stages", [])
    if not from_base:
        stages = [described["first"], *stages]
    branch = first if stages and not from_base and name != "first" else None
    fit(folder, overlay(folder, world, seed, method, stages), branch)
    if name == "first":
        return
    found = measure(folder, world, method)
    found |= {"method": name, "seed": seed, "training": cost_of(folder)}
    command = ["benchmarks/methods.py", "run", "--methods", name, "--seeds", str(seed)]
    write_json(results / f"{name}-seed{seed}.json", found | provenance(command))


if __name__ == "__main__":
    main()
