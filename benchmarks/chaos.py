"""Kills runs of `showo-turbo fit` at random moments and compares them with one that was left alone.

    python benchmarks/chaos.py --runs 5 --kills 32 --fork --output benchmarks/results/chaos.json

Every run is a real process on tiny random networks and a tiny world: it makes its data, collects,
trains two stages with validation and ends. A killed run (SIGKILL) is started again with the same
command, `fit --resume auto`, until it ends. Then the files of its world, its teachers, trajectories
and exported student, the weights and optimizer state of its newest checkpoint, its stage, and every
logged value of every step must equal, bit for bit, those of the run that was left alone.

The process tells over a pipe which phase it enters and leaves. The kill comes at a random moment of
a phase, and counts for the phase that the process turns out to have been in when it died.
"""

import argparse
import hashlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import yaml

LATEST_ENTRY = {
    "data generation": 1,
    "collecting": 1,
    "training mid-epoch": 5,
    "last batch of an epoch": 2,
    "checkpoint writing": 5,
    "change of stage": 1,
    "validation": 2,
}
"""The phases, and after how many entries at most the kill comes."""
PHASES = list(LATEST_ENTRY)
TIMEOUT = 600
"""Seconds in which a process must say something of itself."""

COMMAND = ["fit", "-c", "config.yaml", "--resume", "auto"]

STAGE = {"text_segments": 1, "image_trajectories": 12, "text_trajectories": 12}
CONFIG = {
    "seed_everything": 0,
    "model": {
        "class_path": "ShowoTurbo",
        "init_args": {
            "student": "model",
            "text_tokenizer": "model",
            "max_language_length": 32,
            "evaluation": {"fit_steps": [2], "max_new_tokens": 6},
            "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-3}},
        },
    },
    "data": {
        "class_path": "DistillationDataModule",
        "init_args": {
            "resolution": 24,
            "shapes": {
                "folder": "run/world",
                "images": 200,
                "documents": 64,
                "validation_images": 4,
            },
            "batch_sizes": {"image": 3, "text": 2, "language": 1},
            "prompts_per_category": 1,
            "val_batch_size": 8,
        },
    },
    "trainer": {
        "accelerator": "cpu",
        "devices": 1,
        "default_root_dir": "run",
        "max_epochs": -1,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,
        "gradient_clip_val": 1.0,
        "enable_progress_bar": False,
        "logger": {
            "class_path": "TensorBoardLogger",
            "init_args": {"save_dir": "run", "name": "logs"},
        },
        "callbacks": [
            {
                "class_path": "Curriculum",
                "init_args": {
                    "max_new_tokens": 32,
                    "batch_size": 4,
                    "shard_size": 4,
                    "stages": [
                        STAGE
                        | {"epochs": 3, "steps": 4, "guidance_scale": 1.0, "image_segments": 2},
                        STAGE | {"epochs": 2, "steps": 2, "image_segments": 1},
                    ],
                },
            },
            {
                "class_path": "StepCheckpoint",
                "init_args": {
                    "dirpath": "run/checkpoints",
                    "every_n_train_steps": 2,
                    "save_last": True,
                },
            },
            {
                "class_path": "ModelCheckpoint",
                "init_args": {
                    "dirpath": "run/checkpoints",
                    "filename": "end-of-{epoch}",
                    "save_on_train_epoch_end": True,
                },
            },
            {"class_path": "ExportStudent"},
        ],
    },
}


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
    if options.fork:
        import torch

        import showo_turbo.commands.lightning  # noqa: F401

        torch.set_num_threads(1)
    result = chaos(options.folder, options.runs, options.kills, options.seed, options.fork)
    from showo_turbo.evaluation.environment import describe_hardware, source_version
    from showo_turbo.files import write_json

    result |= {
        "command": " ".join(["python", *sys.argv]),
        "hardware": describe_hardware(),
        "version": source_version(),
    }
    print(json.dumps(result, indent=2))
    if options.output:
        write_json(options.output, result)
    raise SystemExit(bool(result["differences"]))


def chaos(folder: Path, runs: int, kills: int, seed: int, fork: bool) -> dict[str, Any]:
    """Run until there were so many runs and kills, and a kill in every phase."""
    folder.mkdir(parents=True)
    write_model(folder / "model")
    began = time.monotonic()
    calm = Run(folder / "left-alone", folder / "model", fork)
    assert calm.start_and_kill(None), f"the run that is left alone failed; see {calm.log}"
    seconds = time.monotonic() - began
    expected = contents(calm.folder)
    choice = random.Random(seed)
    durations = calm.seconds
    by_phase: Counter[str] = Counter()
    differences: list[str] = []
    starts = done = 0
    while done < runs or by_phase.total() < kills or len(by_phase & Counter(PHASES)) < len(PHASES):
        run = Run(folder / f"killed-{done}", folder / "model", fork)
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
) -> list["Moment"]:
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


@dataclass(frozen=True)
class Moment:
    """When to kill: so many seconds after a phase is entered for the n-th time."""

    phase: str
    entry: int
    delay: float


@dataclass
class Run:
    """One run of the command, in as many processes as it takes."""

    folder: Path
    model: Path
    fork: bool = False
    died_in: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "model").symlink_to(self.model.resolve())
        (self.folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))

    @property
    def log(self) -> Path:
        """What the processes said."""
        return self.folder / "log.txt"

    def start_and_kill(self, moment: Moment | None) -> bool:
        """Start the run or resume it, and kill it at the moment, if it comes to that.

        Returns:
            Whether the run ended by itself.
        """
        reading, writing = os.pipe()
        process = (Forked if self.fork else Started)(self, writing)
        os.close(writing)
        state = Phases()
        try:
            for line in lines(reading):
                state.read(line)
                if moment and state.current == moment.phase and line[0] == "+":
                    if state.entries[moment.phase] < moment.entry:
                        continue
                    time.sleep(moment.delay)
                    process.kill()
                    moment = None
        finally:
            os.close(reading)
            process.kill()
            status = process.wait()
        if status == 0:
            self.seconds = state.mean_seconds()
            return True
        if status != -signal.SIGKILL:
            raise RuntimeError(f"a process ended with {status}; see {self.log}")
        self.died_in = state.current or "outside these phases"
        return False


class Started(subprocess.Popen[bytes]):
    """A process of a run."""

    def __init__(self, run: Run, descriptor: int) -> None:
        command = [sys.executable, __file__, "child", str(descriptor), *COMMAND]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        with open(run.log, "a") as log:
            super().__init__(
                command,
                cwd=run.folder,
                env=environment,
                stdout=log,
                stderr=log,
                pass_fds=[descriptor],
            )


class Forked:
    """The same, forked from this process, which has done the imports."""

    def __init__(self, run: Run, descriptor: int) -> None:
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid:
            return
        status = 1
        try:
            log = os.open(run.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.chdir(run.folder)
            child(descriptor, COMMAND)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@dataclass
class Phases:
    """What a process tells of the phases that it enters and leaves; the inner one counts."""

    stack: list[str] = field(default_factory=list)
    since: float = 0.0
    entries: Counter[str] = field(default_factory=Counter)
    spent: Counter[str] = field(default_factory=Counter)

    @property
    def current(self) -> str:
        return self.stack[-1] if self.stack else ""

    def read(self, line: str) -> None:
        now = time.monotonic()
        if self.stack:
            self.spent[self.current] += now - self.since
        self.since = now
        if line[0] == "+":
            self.stack.append(line[1:])
            self.entries[line[1:]] += 1
        else:
            self.stack.pop()

    def mean_seconds(self) -> dict[str, float]:
        return {name: self.spent[name] / self.entries[name] for name in self.entries}


def lines(descriptor: int) -> Iterator[str]:
    """Lines of a pipe as they come, until it is closed."""
    rest = ""
    while select.select([descriptor], [], [], TIMEOUT)[0]:
        data = os.read(descriptor, 4096).decode()
        if not data:
            return
        *whole, rest = (rest + data).split("\n")
        yield from whole
    raise TimeoutError(f"a process said nothing for {TIMEOUT} s")


def child(descriptor: int, arguments: list[str]) -> None:
    """Run the command, and tell of its phases."""
    from lightning.pytorch.loops import _EvaluationLoop, _TrainingEpochLoop

    from showo_turbo.callbacks import Curriculum
    from showo_turbo.cli import main as showo_turbo
    from showo_turbo.data import ShapesWorld
    from showo_turbo.training.checkpoint_io import AtomicCheckpointIO

    def mark(owner: type, name: str, phase_of: Any) -> None:
        method = getattr(owner, name)

        @wraps(method)
        def marked(self: Any, *given: Any, **named: Any) -> Any:
            phase = phase_of(self) if callable(phase_of) else phase_of
            os.write(descriptor, f"+{phase}\n".encode())
            try:
                return method(self, *given, **named)
            finally:
                os.write(descriptor, f"-{phase}\n".encode())

        setattr(owner, name, marked)

    def batch_phase(loop: _TrainingEpochLoop) -> str:
        last = loop.batch_progress.current.ready + 1 >= loop.trainer.num_training_batches
        return "last batch of an epoch" if last else "training mid-epoch"

    mark(ShapesWorld, "write", "data generation")
    mark(Curriculum, "_collect", "collecting")
    mark(_TrainingEpochLoop, "advance", batch_phase)
    mark(AtomicCheckpointIO, "save_checkpoint", "checkpoint writing")
    mark(Curriculum, "_advance", "change of stage")
    mark(_EvaluationLoop, "run", "validation")
    sys.argv = ["showo-turbo", *arguments]
    showo_turbo()


def write_model(folder: Path) -> None:
    """Random networks for the shapes world, with hardly any width."""
    import shutil

    import torch

    from showo_turbo.models.checkpoints import resolve_folder
    from showo_turbo.models.showo import Showo, ShowoConfig

    torch.manual_seed(0)
    config = ShowoConfig(
        text_vocabulary_size=640,
        codebook_size=512,
        image_tokens=36,
        max_text_length=32,
        tokenizer=None,
        image_tokenizer="shapes",
        eos_id=0,
        hidden_size=32,
        layers=1,
        heads=2,
        max_position_embeddings=256,
    )
    network = Showo(config)
    with torch.no_grad():
        # Answers of a random network never end; this one says `eot` often.
        network.showo.lm_head.bias[config.vocabulary.eot_id] = 4
    network.save_pretrained(folder)
    shutil.copy(resolve_folder("shapes", "showo") / "tokenizer.json", folder)


def contents(folder: Path) -> dict[str, str]:
    """Everything that must not depend on kills: its name, and a hash or value."""
    import torch

    run = folder / "run"
    found = {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for part in ("world", "curriculum", "student")
        for path in sorted((run / part).rglob("*"))
        if path.is_file()
    }
    newest = max((run / "checkpoints").glob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
    checkpoint = torch.load(newest, weights_only=True)
    curriculum = checkpoint["callbacks"]["Curriculum"]
    parts = {
        "state_dict": checkpoint["state_dict"],
        "optimizer_states": checkpoint["optimizer_states"],
        "round": curriculum["round"],
        "fingerprints": curriculum["fingerprints"],
        "epoch": checkpoint["epoch"],
        "global_step": checkpoint["global_step"],
    }
    found |= {f"checkpoint: {name}": value for name, value in flat(parts)}
    return found | logged(run / "logs")


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Tensors and plain values in nested containers, as hashes and text."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from flat(entry, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)):
        for place, entry in enumerate(value):
            yield from flat(entry, f"{name}[{place}]")
    elif hasattr(value, "numpy"):
        yield name, hashlib.sha256(value.numpy().tobytes()).hexdigest()
    else:
        yield name, repr(value)


def logged(folder: Path) -> dict[str, str]:
    """Every logged value by step; steps that were done again after a kill must agree."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    values: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("events.out.tfevents.*")):
        events = EventAccumulator(str(path), {"scalars": 0}, purge_orphaned_data=False)
        events.Reload()
        for tag in events.Tags()["scalars"]:
            for event in events.Scalars(tag):
                values.setdefault(f"{tag} at step {event.step}", set()).add(repr(event.value))
    return {name: " and ".join(sorted(seen)) for name, seen in values.items()}


def unequal(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """Names of what differs, is missing, or should not be there."""
    names = sorted(expected.keys() | found.keys())
    return [name for name in names if expected.get(name) != found.get(name)]


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(int(sys.argv[2]), sys.argv[3:])
    else:
        main()
