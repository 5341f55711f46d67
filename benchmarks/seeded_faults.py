"""Plant faults, one at a time, in a copy of the project, and see which the tests find.

    python benchmarks/seeded_faults.py --output benchmarks/results/seeded-faults.json

A fault is a small change of one place: an index that is off by one, a missing `detach`, a mask the
wrong way round. The tests named beside it are run until the first failure; a fault is found if one
fails. `--all_tests` runs the whole suite for each instead.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from showo_turbo.utils.files import write_json

ROOT = Path(__file__).parents[1]
PARTS = ("src", "callbacks")


class Fault(NamedTuple):
    """A fault to plant.

    Attributes:
        name: What is wrong.
        old: Text that occurs once in the sources.
        new: What it becomes.
        tests: Folders and files of tests, below `tests/`.
    """

    name: str
    old: str
    new: str
    tests: tuple[str, ...]


LOSSES = ("losses", "training/test_turbo.py")
SAMPLING = ("sampling",)
STORE = ("trajectories",)
RESUME = ("data", "callbacks")
FAULTS = (
    # Losses.
    Fault(
        "KL the wrong way round",
        "return divergence(target, student)",
        "return divergence(student, target)",
        LOSSES,
    ),
    Fault(
        "gradient flows into the target",
        "student_logits[mask], target_logits.detach()[mask])",
        "student_logits[mask], target_logits[mask])",
        LOSSES,
    ),
    Fault(
        "impossible classes are not left out",
        "impossible = target_log_probs == -torch.inf",
        "impossible = target_log_probs == torch.inf",
        LOSSES,
    ),
    Fault(
        "student renormalized over the recorded codes",
        "student = student.gather(-1, q_ids)",
        "student = student.gather(-1, q_ids).log_softmax(-1)",
        LOSSES,
    ),
    Fault(
        "language labels are not shifted",
        "token_cross_entropy(logits[:, :-1], labels[:, 1:])",
        "token_cross_entropy(logits[:, :-1], labels[:, :-1])",
        LOSSES,
    ),
    Fault(
        "samples without positions count in the mean",
        "(counted > 0).sum().clamp_min(1)",
        "counted.shape[0]",
        LOSSES,
    ),
    Fault(
        "answers are trained on beyond their end",
        "labels = torch.where(valid, fixed_point, IGNORED)",
        "labels = fixed_point.clone()",
        LOSSES,
    ),
    Fault(
        "losses in bfloat16",
        "return values if values.dtype == torch.float64 else values.float()",
        "return values",
        LOSSES,
    ),
    # Sampling.
    Fault(
        "guidance is one too small",
        "logits = (1 + guidance) * conditional - guidance * unconditional",
        "logits = guidance * conditional - (guidance - 1) * unconditional",
        SAMPLING,
    ),
    Fault(
        "the least sure are revealed first",
        "surest_first = confidence.masked_fill(~unknown, -torch.inf).argsort(",
        "surest_first = confidence.neg().masked_fill(~unknown, -torch.inf).argsort(",
        SAMPLING,
    ),
    Fault(
        "known tokens take part in the ranking",
        "surest_first = confidence.masked_fill(~unknown, -torch.inf).argsort(",
        "surest_first = confidence.argsort(",
        SAMPLING,
    ),
    Fault(
        "noise grows instead of fading",
        "temperature *= 1 - reached / self.sampling_steps",
        "temperature *= reached / self.sampling_steps",
        SAMPLING,
    ),
    Fault(
        "top-k keeps one too few",
        "kept = logits.topk(sampling.k, dim=-1).values[..., -1:]",
        "kept = logits.topk(sampling.k, dim=-1).values[..., -2:-1]",
        SAMPLING,
    ),
    Fault(
        "confidence among the kept codes only",
        "return codes, log_probs.gather(-1, codes[..., None])[..., 0]",
        "return codes, logits.log_softmax(-1).gather(-1, codes[..., None])[..., 0]",
        SAMPLING,
    ),
    Fault(
        "first guesses from everywhere",
        "return [token for token in prompt if token in vocabulary] or vocabulary",
        "return vocabulary",
        ("sampling",),
    ),
    Fault(
        "Jacobi accepts one token too many",
        "exact, corrected = predictions[: matches + 1], predictions[matches + 1 :]",
        "exact, corrected = predictions[: matches + 2], predictions[matches + 2 :]",
        ("sampling",),
    ),
    Fault(
        "an answer goes on after its end",
        "self.finished[sample] = True\n                    break",
        "self.finished[sample] = True",
        ("sampling",),
    ),
    # Trajectories and their store.
    Fault(
        "masked one step too long",
        "return self.reveal_step > k",
        "return self.reveal_step >= k",
        STORE,
    ),
    Fault(
        "segments end one step early",
        "return (segment_index(k, steps, segments) + 1) * (steps // segments)",
        "return (segment_index(k, steps, segments) + 1) * (steps // segments) - 1",
        STORE,
    ),
    Fault(
        "distributions of the wrong segment",
        "for earlier in recorded if earlier < end)",
        "for earlier in recorded if earlier <= end)",
        STORE,
    ),
    Fault(
        "text counts positions before the first difference",
        "differs=started & valid,",
        "differs=valid,",
        STORE,
    ),
    Fault(
        "the start iterate counts as the fixed point",
        "return iterates[: max(first, 1) + 1]",
        "return iterates[: first + 1]",
        STORE,
    ),
    Fault(
        "a damaged shard is taken",
        "if verify and sha256_of(path) != shard.sha256:",
        "if verify and not path.stat().st_size:",
        STORE,
    ),
    Fault(
        "a link out of the store is followed",
        "if path.is_symlink():\n            return",
        "if False:\n            return",
        STORE,
    ),
    Fault(
        "shards of another collection are taken",
        "if identity == self.identity.fingerprint:",
        "if identity is not None:",
        STORE,
    ),
    Fault(
        "processes collect the same shards",
        "own = range(rank, self.identity.num_shards, world_size)",
        "own = range(0, self.identity.num_shards, world_size)",
        STORE,
    ),
    # Resume.
    Fault(
        "a batch counts for one process only",
        "self.consumed[name] += batch_size * self.world_size",
        "self.consumed[name] += batch_size",
        RESUME,
    ),
    Fault(
        "a resumed epoch begins again",
        'self.consumed = dict(state["consumed"])',
        "self.consumed = dict.fromkeys(self.sizes, 0)",
        RESUME,
    ),
    Fault(
        "the drawn state depends on no epoch",
        "seed = stable_hash(self.seed, name, self.epoch, position)",
        "seed = stable_hash(self.seed, name, position)",
        RESUME,
    ),
    # Masks.
    Fault(
        "image tokens see only backwards",
        "seen = (query >= key) | ((block == self.block[sample, key]) & (block > 0))",
        "seen = (query >= key) | ((block == self.block[sample, key]) & (block < 0))",
        ("models", "training"),
    ),
    Fault(
        "padding is seen",
        "seen = seen & ~(self.padding[sample, key] & ~self.padding[sample, query])",
        "seen = seen.clone()",
        ("models", "training"),
    ),
    Fault(
        "versions of a block see each other",
        "seen = seen & (branch == other) | before_fork",
        "seen = seen | before_fork",
        ("models", "training"),
    ),
)


def main() -> None:
    """Plant every fault, run its tests, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all_tests", action="store_true", help="run the whole suite each time")
    parser.add_argument("--only", help="faults whose name contains this")
    parser.add_argument("--output", type=Path, help="JSON file of the results")
    options = parser.parse_args()
    chosen = [fault for fault in FAULTS if options.only is None or options.only in fault.name]
    results = []
    for fault in chosen:
        began = time.perf_counter()
        test = first_failure(fault, options.all_tests)
        seconds = round(time.perf_counter() - began, 1)
        results.append({"fault": fault.name, "found_by": test, "seconds": seconds})
        print(f"{'found' if test else 'MISSED'}  {fault.name}: {test} ({seconds} s)", flush=True)
    found = sum(result["found_by"] is not None for result in results)
    print(f"{found} of {len(results)} found")
    if options.output:
        write_json(options.output, {"found": found, "of": len(results), "faults": results})


def place_of(text: str) -> Path:
    """The one source file in which a text occurs, once.

    Raises:
        LookupError: If it occurs nowhere or more than once.
    """
    found = [
        path
        for part in PARTS
        for path in (ROOT / part).rglob("*.py")
        for _ in range(path.read_text(encoding="utf-8").count(text))
    ]
    if len(found) != 1:
        raise LookupError(f"{text!r} occurs {len(found)} times in the sources; expected once")
    return found[0]


def first_failure(fault: Fault, all_tests: bool = False) -> str | None:
    """Name of the first test that fails with a fault planted; None if all pass."""
    path = place_of(fault.old)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(
            ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(".*", "runs", "__pycache__")
        )
        planted = copy / path.relative_to(ROOT)
        text = planted.read_text(encoding="utf-8")
        planted.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
        tests = ["tests"] if all_tests else [f"tests/{name}" for name in fault.tests]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        environment = os.environ | {"PYTHONPATH": str(copy / "src")}
        done = subprocess.run(command, cwd=copy, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode == 0:
        return None
    failures = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode != 1 or not failures:
        raise RuntimeError(f"the tests did not run with {fault.name!r}: {done.stdout[-2000:]}")
    return failures[0].split()[1]


if __name__ == "__main__":
    main()
