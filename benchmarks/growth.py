"""Watches memory, open files and threads of a run that renews teacher and trajectories every epoch.

    python benchmarks/growth.py --epochs 200 --output benchmarks/results/growth.json

The run is `showo-turbo fit` on tiny random networks, with a worker process for its data, which is
made again every epoch as well. Growth is the slope of a line through the epochs after the first
quarter, in which caches fill.
"""

import argparse
import copy
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.support.small_run import CONFIG, STAGE, write_model


class Watch(Callback):
    """Notes at the end of every epoch what the process holds."""

    seen: list[dict[str, float]] = []  # noqa: RUF012 - read after the command has ended

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        self.seen.append(
            {
                "resident_mib": resident_bytes() / 2**20,
                "open_files": len(os.listdir("/proc/self/fd")),
                "threads": len(os.listdir("/proc/self/task")),
                "children": len(children),
                "mappings": len(Path("/proc/self/maps").read_text().splitlines()),
            }
        )


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def config_of(epochs: int) -> dict[str, Any]:
    config = copy.deepcopy(CONFIG)
    config["data"]["init_args"]["loader"] = {"num_workers": 1}
    config["data"]["init_args"]["shapes"] |= {"images": 24, "documents": 16}
    stage = STAGE | {"epochs": epochs, "image_segments": 1, "refresh_every_n_epochs": 1}
    config["model"]["init_args"]["teacher_sampling"] = {"sampling_steps": 2}
    curriculum = {"class_path": "Curriculum", "init_args": {"stages": [stage]}}
    curriculum["init_args"] |= {"batch_size": 12, "shard_size": 12}
    config["trainer"] |= {
        "callbacks": [curriculum, {"class_path": "growth.Watch"}],
        "enable_checkpointing": False,
        "limit_val_batches": 0,
    }
    return config


def summary(name: str, rows: list[dict[str, float]]) -> dict[str, float]:
    """First, last and largest value, and the slope after the first quarter for 100 epochs."""
    values = [row[name] for row in rows]
    later = range(len(values) // 4, len(values))
    slope = statistics.linear_regression(later, [values[epoch] for epoch in later]).slope
    return {
        "after_a_quarter": round(values[later[0]], 1),
        "at_the_end": round(values[-1], 1),
        "largest": round(max(values), 1),
        "growth_in_100_epochs": round(100 * slope, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=Path("runs/growth"), help="a new folder")
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    options = parser.parse_args()
    output = options.output.resolve() if options.output else None
    options.folder.mkdir(parents=True)
    write_model(options.folder / "model")
    (options.folder / "config.yaml").write_text(yaml.safe_dump(config_of(options.epochs)))
    os.chdir(options.folder)
    # The callback is found by its name, and its notes here.
    sys.modules["growth"] = sys.modules["__main__"]

    from showo_turbo.cli.main import main as showo_turbo
    from showo_turbo.evaluation.environment import provenance
    from showo_turbo.utils.files import write_json

    arguments, sys.argv = sys.argv, ["showo-turbo", "fit", "-c", "config.yaml"]
    showo_turbo()
    result = (
        provenance(arguments)
        | {
            "epochs": len(Watch.seen),
            "collections": len(list(Path("run/curriculum").glob("round-*/images/manifest.json"))),
        }
        | {name: summary(name, Watch.seen) for name in Watch.seen[0]}
    )
    print(json.dumps(result, indent=2))
    if output:
        write_json(output, result)


if __name__ == "__main__":
    main()
