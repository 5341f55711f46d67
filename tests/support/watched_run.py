"""Runs of `showo-turbo fit` with one or two processes on the CPU, which note what they do and die
where they are told to."""

import copy
import json
import os
import socket
import subprocess
from contextlib import suppress

import yaml

from . import outcome, small_run

ENDS_WITHIN = 120
"""Seconds in which a run must end when one of its processes has died; gloo itself waits 1800."""

WATCH = '''
import json, os, signal
import torch
from lightning.pytorch import Callback
from lightning.pytorch.strategies import FSDPStrategy
from torch.distributed.fsdp import FullyShardedDataParallel
from showo_turbo.callbacks import Curriculum
from showo_turbo.trajectories import TrajectoryStore


class CPUFSDP(FSDPStrategy):
    """Lightning's strategy without a GPU: it does not tell PyTorch that the device is the CPU."""

    def _setup_model(self, model):
        return FullyShardedDataParallel(
            model,
            device_id=torch.device("cpu"),
            sharding_strategy=self.sharding_strategy,
            **self.kwargs,
        )


def note(**what):
    with open(f"notes-{os.environ.get('LOCAL_RANK', 0)}.jsonl", "a") as file:
        file.write(json.dumps(what) + "\\n")


write_shard = TrajectoryStore.write_shard


def noted(store, index, *given, **named):
    write_shard(store, index, *given, **named)
    note(shard=str(store.shard_path(index)))


TrajectoryStore.write_shard = noted


class Watch(Callback):
    """Notes samples and stages, and dies where it is told to."""

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        if os.environ.get("DIE") == f"{trainer.global_rank} at {trainer.global_step}":
            os.kill(os.getpid(), signal.SIGKILL)
        curriculum = next(c for c in trainer.callbacks if isinstance(c, Curriculum))
        image = batch["image"]
        rows = zip(image.prompt_ids, image.codes.tolist(), image.step.tolist(), strict=True)
        note(
            step=trainer.global_step,
            epoch=trainer.current_epoch,
            stage=curriculum.stage_index,
            samples=[repr(row) for row in rows],
        )
'''


def config_of(batch_size, lora=None, module=None, **trainer):
    config = copy.deepcopy(small_run.CONFIG)
    config["model"]["init_args"] |= {"lora": lora} | (module or {})
    data = config["data"]["init_args"]
    data["shapes"]["init_args"] |= {"images": 24, "documents": 16}
    data["batch_sizes"] = {"image": batch_size, "text": batch_size, "language": batch_size // 2}
    curriculum, *_ = config["trainer"]["callbacks"]
    for stage, epochs in zip(curriculum["init_args"]["stages"], (2, 1), strict=True):
        stage["epochs"] = epochs
    checkpoints = {"dirpath": "run/checkpoints", "every_n_train_steps": 1, "save_last": True}
    config["trainer"]["callbacks"] = [
        curriculum,
        {"class_path": "my_callbacks.Watch"},
        {"class_path": "ModelCheckpoint", "init_args": checkpoints},
        {"class_path": "ExportStudent"},
    ]
    config["trainer"]["limit_val_batches"] = 0
    config["trainer"] |= trainer
    return config


def free_port():
    """A port that no outgoing connection of another program is given before the run listens."""
    for port in range(20000 + os.getpid() % 5000, 32768):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("", port))
            return port
    raise RuntimeError("no free port below the range of outgoing connections")


class Run:
    """A run in a folder of its own, process after process, each started by `python`."""

    def __init__(self, folder, model, python):
        self.folder = folder
        self.python = python
        folder.mkdir(parents=True)
        (folder / "model").symlink_to(model)
        (folder / "my_callbacks.py").write_text(WATCH)

    def fit(self, batch_size, processes, die="", lora=None, module=None, **trainer):
        """Start or resume it; gives the ended process with what it said."""
        if processes > 1:
            trainer = {"strategy": "ddp"} | trainer
        config = config_of(batch_size, lora, module, devices=processes, **trainer)
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config))
        command = [self.python, "-m", "showo_turbo", "fit", "-c", "config.yaml"]
        return subprocess.run(
            [*command, "--resume", "auto"],
            cwd=self.folder,
            env=os.environ | {"OMP_NUM_THREADS": "1", "DIE": die, "MASTER_PORT": str(free_port())},
            capture_output=True,
            text=True,
            timeout=ENDS_WITHIN + 240,
        )

    def notes(self, rank=0):
        path = self.folder / f"notes-{rank}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def batches(self, rank=0):
        return [note for note in self.notes(rank) if "samples" in note]

    def files(self, part):
        root = self.folder / "run" / part
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    def losses(self):
        found = outcome.logged(self.folder / "run/logs")
        return {name: float(v) for name, v in found.items() if "segment" not in name}


def whole(process):
    assert process.returncode == 0, process.stderr[-3000:]
    return process
