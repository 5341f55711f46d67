"""`fit --resume auto`: the checkpoint that an interrupted run continues from."""

from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only

from ..errors import UserError
from ..files import remove_leftovers
from ..training.checkpoint_io import checkpoint_fault

WORDS = ("best", "last", "hpc", "registry")
"""What Lightning takes for `--ckpt_path` besides files."""


def check_named_checkpoint(path: str, resuming: bool) -> None:
    """Refuse a `--ckpt_path` that is missing, damaged, or holds more than tensors and plain values.

    Args:
        path: The option's value.
        resuming: Whether a run is to go on from it.

    Raises:
        UserError: If it is a file or a folder and cannot be used.
    """
    if path in WORDS or ":" in path:
        return
    if not Path(path).exists():
        raise UserError(
            f"{path} does not exist; expected a checkpoint of training, such as "
            "runs/quickstart/checkpoints/last.ckpt"
        )
    fault = checkpoint_fault(Path(path), resuming)
    if fault is not None:
        raise UserError(
            f"{path} {fault}; expected a checkpoint of training, name another or use --resume auto"
        )


def checkpoint_to_resume(trainer: Trainer) -> Path | None:
    """Find the newest good checkpoint of a run, and clear away what was left half-written.

    The run's checkpoints are all `*.ckpt` in `trainer.default_root_dir` and its subfolders, and in
    the folders that its checkpoint callbacks name. The newest is the one written last. Damaged ones
    are reported and passed over, as is everything else that no run can be resumed from.

    Returns:
        The checkpoint; None if there is none, so that the run starts afresh.

    Raises:
        UserError: If the run has no folder of its own.
    """
    folder = Path(trainer.default_root_dir)
    if folder.resolve() == Path.cwd():
        raise UserError(
            "--resume auto looks for checkpoints in trainer.default_root_dir, which is not set; "
            "give the run a folder of its own, such as --trainer.default_root_dir runs/mine"
        )
    folders = {folder, *_callback_folders(trainer)}
    for place in folders:
        rank_zero_only(remove_leftovers)(place, recursive=True)
    found = {path.resolve() for place in folders for path in place.rglob("*.ckpt")}
    for path in sorted((path for path in found if path.exists()), key=_written, reverse=True):
        fault = checkpoint_fault(path)
        if fault is None:
            rank_zero_info(f"resuming from {path}")
            return path
        rank_zero_info(f"{path} {fault}; going back to the one before it")
    rank_zero_info(f"no checkpoint to resume from in {folder}; starting afresh")
    return None


def _callback_folders(trainer: Trainer) -> set[Path]:
    """Folders that the checkpoint callbacks were told to write to."""
    listed = trainer.callbacks  # type: ignore[attr-defined]
    callbacks = (entry for entry in listed if isinstance(entry, Checkpoint))
    named = (getattr(callback, "dirpath", None) for callback in callbacks)
    return {Path(name) for name in named if name}


def _written(path: Path) -> tuple[int, str]:
    """When a checkpoint was written; by name where the clock cannot tell."""
    return path.stat().st_mtime_ns, path.name
