"""Training beside a process that keeps a core busy: steps a second, with and without our settings.

A run of one thread, which waits for no other, shows what the machine leaves beside the busy core.

    python benchmarks/busy_core.py --output benchmarks/results/busy-core.json

Each way trains the shapes model in a process of its own: alone, and beside a busy one. The ways
take turns, so that what else the machine does hits all alike; the figures are medians.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from showo_turbo.utils.files import write_json
from showo_turbo.utils.process import keep_freed_memory, limit_spinning

WAYS = ("before", "ours", "one_thread")
PLACES = ("alone", "busy")


def main() -> None:
    """Measure every way in every place, in turns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64, help="prompts in a step")
    parser.add_argument("--output", type=Path, help="JSON file of the results")
    parser.add_argument("--train", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        print(train(options.train, options.seconds, options.batch))
        return
    steps: dict[str, list[float]] = {f"{way}, {place}": [] for way in WAYS for place in PLACES}
    for _ in range(options.turns):
        for place in PLACES:
            with busy_core(place == "busy"):
                for way in WAYS:
                    steps[f"{way}, {place}"].append(measure(way, options.seconds, options.batch))
    found = summary(steps)
    for name, value in found.items():
        print(f"{name}: {value}")
    if options.output:
        from showo_turbo.evaluation.environment import provenance

        write_json(options.output, found | {"turns": steps} | provenance())
        print(f"written: {options.output}")


def summary(steps: dict[str, list[float]]) -> dict[str, float]:
    """Medians of the steps a second, and what they are of those before our settings."""
    medians = {name: round(statistics.median(values), 3) for name, values in steps.items()}
    alone = medians["before, alone"]
    ratios = {
        f"{name}, of before alone": round(value / alone, 3) for name, value in medians.items()
    }
    return medians | ratios


@contextmanager
def busy_core(wanted: bool) -> Iterator[None]:
    """Keep a core busy meanwhile, if wanted."""
    command = [sys.executable, "-c", "while True: pass"]
    process = subprocess.Popen(command) if wanted else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def measure(way: str, seconds: float, batch: int) -> float:
    """Steps a second of a process that trains in this way."""
    environment = dict(os.environ)
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS"):
        environment.pop(name, None)
    if way == "one_thread":
        environment["OMP_NUM_THREADS"] = "1"
    command = [sys.executable, __file__, "--train", way]
    command += ["--seconds", str(seconds), "--batch", str(batch)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def train(way: str, seconds: float, batch: int) -> float:
    """Train the shapes model; give the steps a second."""
    keep_freed_memory()
    if way == "ours":
        limit_spinning()
    import torch  # only now: OpenMP reads its settings when it is loaded

    from showo_turbo.models.showo import Showo
    from showo_turbo.training.optimizers import MuonWithAdamW, parameter_groups

    network = Showo.from_pretrained("shapes").train()
    config = network.config
    optimizer = MuonWithAdamW(parameter_groups(network), lr=1e-4)
    torch.manual_seed(0)
    prompts = torch.randint(0, config.text_vocabulary_size, (batch, 12)).tolist()
    codes = torch.randint(0, config.codebook_size + 1, (batch, config.image_tokens))

    def step() -> None:
        logits = network.image_logits(prompts, codes)
        logits.log_softmax(-1).mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(2):
        step()
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        step()
        steps += 1
    return steps / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
