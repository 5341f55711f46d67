"""Writing checkpoints whole or not at all, and telling a whole one from a damaged one."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.distributed.checkpoint import metadata

from ..errors import shown
from ..models.weight_files import why_unreadable
from ..utils.files import write_atomically
from ..utils.lightning_internals import log_this_step

_PROGRESS = ("global_step", "epoch", "state_dict", "optimizer_states", "loops")
_WEIGHTS = ("state_dict",)
_SHARDED = ("meta.pt", ".metadata")
"""What is written last into the folder of a checkpoint that is sharded over processes."""

_SHARD_NAMES = (
    ("pathlib", "PosixPath"),
    ("pathlib._local", "PosixPath"),
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
)
"""What the list of shards holds besides dtypes and the classes of its own module."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, durable: a name never stands for a half-written file.

    Lightning moves a finished file into place as well, but from the system's temporary folder,
    which copies it where that is another file system, and does not sync it to the disk.

    Whatever is asked for, only tensors and plain values are loaded, and only from local files: no
    checkpoint runs code.

    The `showo-turbo` command uses it unless the trainer is given another; in Python,
    `Trainer(plugins=[AtomicCheckpointIO()])`.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint under a temporary name, sync it, and rename it."""
        if storage_options is not None:
            raise TypeError("AtomicCheckpointIO takes no storage_options")
        # A file of Python's, so that a full disk can be distinguished from other failures.
        with write_atomically(Path(path)) as temporary, open(temporary, "wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self,
        path: Any,
        map_location: Any | None = "cpu",
        weights_only: bool | None = True,
    ) -> dict[str, Any]:
        """Read a local file, without running any code in it, though `weights_only` be False."""
        content: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        return content


class ExactResume(Callback):
    """Repairs what keeps a run that Lightning resumes from being the run that was interrupted.

    - Lightning logs a step's metrics just after the checkpoint that counts the step as done. A run
      killed in between would be resumed behind the step, and its losses would be missing from the
      logs for good. Here they are logged before.
    - Resumed from a checkpoint of an epoch's last step, Lightning does not count the next epoch as
      begun, and skips its `on_train_epoch_start`. The checkpoints that follow then carry wrong
      counts, and a second resume repeats or leaves out steps. Here it is counted.

    The `showo-turbo` command always uses it.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the next epoch in full, where the checkpoint's was over."""
        loop = trainer.fit_loop
        epoch = loop.epoch_progress.current
        if loop.restarted_mid_epoch and epoch.completed == epoch.ready:
            loop.reset_restart_stage()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Have Lightning log now what it is about to log."""
        done = trainer.fit_loop.epoch_loop.batch_progress.current
        if trainer.training and done.processed > done.completed:  # type: ignore[attr-defined]
            log_this_step(trainer)


def checkpoint_fault(path: Path, resuming: bool = True) -> str | None:
    """Say what keeps a checkpoint from being resumed from, if anything does.

    Every byte of a checkpoint file is compared with the checksums that PyTorch writes into it. Of
    a checkpoint that is a folder, sharded over processes, it is only seen that it is complete, and
    that its list of shards, which PyTorch unpickles, runs no code.

    Args:
        path: A file or folder that Lightning wrote.
        resuming: Whether a run is to go on from it; to measure a model, its weights are enough.

    Returns:
        A phrase that follows the path in a message, or None for a good checkpoint.
    """
    if path.is_dir():
        missing = [name for name in _SHARDED if not (path / name).is_file()]
        if missing:
            return f"is incomplete: it has no {missing[0]}"
        try:
            listed = _ListOfShards(io.BytesIO((path / _SHARDED[1]).read_bytes())).load()
            parts = {str(entry.relative_path) for entry in listed.storage_data.values()}
        except Exception as error:  # unpickling can fail in any way
            return f"has a damaged {_SHARDED[1]} ({_first_line(error)})"
        for part in sorted(parts):
            if not (path / Path(part).name).is_file():
                return f"is incomplete: it has no {Path(part).name}, the part of one process"
        path = path / _SHARDED[0]
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            return f"is damaged: the checksum of {damaged} does not match"
        content = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except (zipfile.BadZipFile, pickle.UnpicklingError) as error:
        return f"is not a complete checkpoint ({why_unreadable(error)})"
    except Exception as error:  # unpickling can fail in any way
        return f"is damaged ({why_unreadable(error)})"
    sharded = path.name == _SHARDED[0]
    expected = _PROGRESS[:2] if sharded else _PROGRESS if resuming else _WEIGHTS
    if not isinstance(content, dict) or not set(expected) <= content.keys():
        return "holds no state of a training run"
    return None if sharded else _weights_fault(content["state_dict"])


class _ListOfShards(pickle.Unpickler):
    """Reads what `torch.distributed.checkpoint` notes of a sharded checkpoint, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Give the class of this name, if it is one of those that are written there."""
        if (module, name) in _SHARD_NAMES:
            return super().find_class(module, name)
        owner = {torch.__name__: torch, metadata.__name__: metadata}.get(module)
        found = getattr(owner, name, None)
        if isinstance(found, torch.dtype) or (owner is metadata and isinstance(found, type)):
            return found
        raise pickle.UnpicklingError(f"it asks to run {module}.{name}")


def _weights_fault(state: Any) -> str | None:
    """Say what is wrong with the weights of a checkpoint, if anything is."""
    if not isinstance(state, dict):
        return "holds no weights"
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            return f"holds {shown(name)} among its weights, which is none"
        if value.is_floating_point() and not value.isfinite().all():
            return f"holds NaN or infinite weights in {name}"
    return None


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].strip()
