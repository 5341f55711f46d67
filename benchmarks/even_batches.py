"""What it saves to make batches of as many tokens each, counted on a store of text trajectories.

    python benchmarks/even_batches.py runs/quickstart/curriculum/round-0/texts

Nothing is trained: tokens are those that a step computes, with padding. With several devices a step
takes as long as its largest batch. The table goes to `benchmarks/results/even-batches.md`.
"""

import argparse
from pathlib import Path

from showo_turbo.data import JoinedBatchSampler
from showo_turbo.evaluation import to_markdown
from showo_turbo.evaluation.tables import Figures
from showo_turbo.trajectories import TextTrajectoryDataset
from showo_turbo.utils.files import write_text

PASSES = 8


def batch_tokens(lengths: list[int], batch_size: int, window: int, devices: int) -> list[list[int]]:
    """The tokens of every batch, `[device][step]`."""
    found = []
    for rank in range(devices):
        sampler = JoinedBatchSampler(
            {"text": len(lengths)},
            {"text": batch_size},
            primary="text",
            rank=rank,
            world_size=devices,
            samples_per_epoch=PASSES * len(lengths),
            lengths={"text": lengths},
            even_batches=window,
        )
        found.append([len(keys) * max(lengths[key.index] for key in keys) for keys in sampler])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path, help="of text trajectories")
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/even-batches.md"))
    options = parser.parse_args()
    lengths = TextTrajectoryDataset(options.store).lengths()
    header = ["answers a batch", "even_batches", "padding", f"waiting on {options.devices} devices"]
    lines = []
    for batch_size in (6, 16):
        for window in (1, 8, 32):
            alone = batch_tokens(lengths, batch_size, window, 1)[0]
            ranks = batch_tokens(lengths, batch_size, window, options.devices)
            steps = list(zip(*ranks, strict=True))
            padding = 1 - PASSES * sum(lengths) / sum(alone)
            waiting = 1 - sum(map(sum, steps)) / sum(options.devices * max(s) for s in steps)
            lines.append([str(batch_size), str(window), f"{padding:.0%}", f"{waiting:.0%}"])
    table = to_markdown(
        [Figures(f"Share of computed tokens, {len(lengths)} answers", header, lines)]
    )
    write_text(options.output, table)
    print(table)


if __name__ == "__main__":
    main()
