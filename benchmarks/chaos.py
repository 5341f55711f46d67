"""Kills runs of `showo-turbo fit` at random moments and compares them with one that was left alone.

    python benchmarks/chaos.py --runs 5 --kills 32 --fork --output benchmarks/results/chaos.json

Every run is a real process on tiny random networks and a tiny world: it makes its data, collects,
trains two stages with validation and ends. A killed run (SIGKILL) is started again with the same
command, `fit --resume auto`, until it ends. Then the files of its world, its teachers, trajectories
and exported student, the weights and optimizer state of its newest checkpoint, its stage, and every
logged value of every step must equal, bit for bit, those of the run that was left alone.

The kill comes at a random moment of a phase, and counts for the phase that the process turns out to
have been in when it died.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from showo_turbo.evaluation.environment import provenance
from showo_turbo.utils.files import write_json

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.support.forking import forking_python
from tests.support.killing import PHASES, Moment, Run
from tests.support.outcome import contents, unequal
from tests.support.small_run import write_model

LATEST_ENTRY = {
    "data generation": 1,
    "collecting": 1,
    "training mid-epoch": 5,
    "last batch of an epoch": 2,
    "checkpoint writing": 5,
    "change of stage": 1,
    "validation": 2,
}
"""After how many entries into a phase at most the kill comes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="runs at least")
    parser.add_argument("--kills", type=int, default=30, help="kills in all at least")
    parser.add_argument("--seed", type=int, default=0, help="chooses the moments")
    parser.add_argument("--folder", type=Path, default=Path("runs/chaos"), help="a new folder")
    parser.add_argument(
        "--fork", action="store_true", help="spare every process the imports of PyTorch"
    )
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    options = parser.parse_args()
    with forking_python() if options.fork else nullcontext(sys.executable) as python:
        result = chaos(options.folder, options.runs, options.kills, options.seed, python)
    result |= provenance()
    print(json.dumps(result, indent=2))
    if options.output:
        write_json(options.output, result)
    raise SystemExit(bool(result["differences"]))


def chaos(folder: Path, runs: int, kills: int, seed: int, python: str) -> dict[str, Any]:
    """Run until there were so many runs and kills, and a kill in every phase."""
    folder.mkdir(parents=True)
    write_model(folder / "model")
    began = time.monotonic()
    calm = Run(folder / "left-alone", folder / "model", python)
    assert calm.start_and_kill(None), f"the run that is left alone failed; see {calm.log}"
    seconds = time.monotonic() - began
    expected = contents(calm.folder)
    choice = random.Random(seed)
    durations = calm.seconds
    by_phase: Counter[str] = Counter()
    differences: list[str] = []
    starts = done = 0
    while done < runs or by_phase.total() < kills or len(by_phase & Counter(PHASES)) < len(PHASES):
        run = Run(folder / f"killed-{done}", folder / "model", python)
        moments = plan(by_phase, durations, max(5, -(-kills // runs)), choice)
        ended = False
        for moment in [*moments, None]:
            starts += 1
            ended = run.start_and_kill(moment)
            if ended:
                break
            by_phase.update([run.died_in])
            print(f"run {done}: killed in {run.died_in}", flush=True)
        assert ended
        # The shortest so far: a delay that outlasts its phase kills in another, or not at all.
        durations = {name: min(s, run.seconds.get(name, s)) for name, s in durations.items()}
        found = contents(run.folder)
        own = [f"run {done}: {name}" for name in unequal(expected, found)]
        differences += own
        print(f"run {done}: ended, {len(own)} differences", flush=True)
        done += 1
    return {
        "runs": done,
        "kills": by_phase.total(),
        "kills_by_phase": dict(by_phase),
        "differences": len(differences),
        "different": differences[:20],
        "compared": len(expected),
        "process_starts": starts,
        "seconds_left_alone": round(seconds, 1),
        "seconds": round(time.monotonic() - began, 1),
    }


def plan(
    so_far: Counter[str], seconds: dict[str, float], kills: int, choice: random.Random
) -> list[Moment]:
    """Choose the moments of one run: first in its data generation, then where kills are fewest."""
    chosen = [PHASES[0]]
    counts = Counter(so_far)
    while len(chosen) < kills:
        chosen.append(min(PHASES[1:], key=lambda phase: (counts[phase], choice.random())))
        counts[chosen[-1]] += 1
    return [
        Moment(phase, choice.randint(1, LATEST_ENTRY[phase]), choice.random() * seconds[phase])
        for phase in chosen
    ]


if __name__ == "__main__":
    main()
