"""The checkpoint that a run goes on from or measures: `--ckpt_path` and `--resume auto`."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from traceback import walk_tb

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only

from ..errors import UserError
from ..training.checkpoint_io import checkpoint_fault
from ..utils.files import remove_leftovers
from ..utils.lightning_internals import RESTORING_MODULE, slurm_checkpoint

WORDS = ("last", "hpc")
"""What `--ckpt_path` takes besides files: the newest `last*.ckpt`, and what SLURM had saved."""

_NAMED_IN_MESSAGES = 3


def check_named_checkpoint(path: str, resuming: bool) -> None:
    """Raise if a `--ckpt_path` is missing, damaged, or holds more than tensors and plain values.

    Args:
        path: The option's value; one of `WORDS` is left for `find_named_checkpoint`.
        resuming: Whether a run is to go on from it.

    Raises:
        UserError: If it cannot be used, or is not a local file or folder.
    """
    if path in WORDS:
        return
    if path == "best":
        raise UserError(
            "--ckpt_path best is known only while a run trains; expected a checkpoint's file, or "
            "last, so name the best one's file"
        )
    exists = Path(path).exists()
    if "://" in path or (path.lower().startswith("registry") and not exists):
        raise UserError(
            f"{path} is an address; expected the file of a checkpoint on this machine, download it "
            "first and name the file"
        )
    if not exists:
        raise UserError(
            f"{path} does not exist; expected a checkpoint of training, such as "
            "runs/quickstart/checkpoints/last.ckpt"
        )
    fault = checkpoint_fault(Path(path), resuming)
    if fault is not None:
        raise UserError(
            f"{path} {fault}; expected a checkpoint of training, name another or use --resume auto"
        )


def find_named_checkpoint(name: str, trainer: Trainer, resuming: bool) -> Path:
    """Find the checkpoint that a `--ckpt_path` stands for.

    Args:
        name: A file that `check_named_checkpoint` has let pass, or one of `WORDS`.
        trainer: Of the run.
        resuming: Whether the run is to go on from it.

    Returns:
        Its absolute path, which Lightning takes for nothing but a file.

    Raises:
        UserError: If a word stands for none, or for one that cannot be used.
    """
    if name not in WORDS:
        return Path(name).absolute()
    found: str | Path | None
    if name == "hpc":
        found = slurm_checkpoint(trainer)
    else:
        found = next(iter(_newest_first(_run_folders(trainer), "last*.ckpt")), None)
    if found is None:
        raise UserError(
            f"--ckpt_path {name}: there is no such checkpoint in {trainer.default_root_dir}; "
            "expected one that the run has written, name its file or correct "
            "trainer.default_root_dir"
        )
    check_named_checkpoint(str(found), resuming)
    return Path(found).absolute()


def checkpoint_to_resume(trainer: Trainer) -> Path | None:
    """Find the newest good checkpoint of a run, and clear away what was left half-written.

    The run's checkpoints are all `*.ckpt` in `trainer.default_root_dir` and its subfolders, and in
    the folders that its checkpoint callbacks name. The newest is the one written last. Damaged ones
    are reported and passed over, as is everything else that no run can be resumed from.

    Returns:
        The checkpoint; None if the run has none yet, so that it starts afresh.

    Raises:
        UserError: If the run has no folder of its own, or has checkpoints of which none is good.
    """
    folder = Path(trainer.default_root_dir)
    if folder.resolve() == Path.cwd():
        raise UserError(
            "--resume auto looks for checkpoints in trainer.default_root_dir, which is not set; "
            "give the run a folder of its own, such as --trainer.default_root_dir runs/mine"
        )
    folders = _run_folders(trainer)
    for place in folders:
        rank_zero_only(remove_leftovers)(place, recursive=True)
    refused = []
    for path in _newest_first(folders, "*.ckpt"):
        fault = checkpoint_fault(path)
        if fault is None:
            rank_zero_info(f"resuming from {path}")
            return path
        rank_zero_info(f"{path} {fault}; going back to the one before it")
        refused.append(f"{path} {fault}")
    if refused:
        more = len(refused) - _NAMED_IN_MESSAGES
        raise UserError(
            f"the run cannot be resumed: {', '.join(refused[:_NAMED_IN_MESSAGES])}"
            f"{f' and {more} more' if more > 0 else ''}; expected a good checkpoint, so restore "
            f"one, or to start afresh move {folder} away, name another trainer.default_root_dir, "
            "or leave out --resume"
        )
    rank_zero_info(f"no checkpoint to resume from in {folder}; starting afresh")
    return None


def check_no_other_run(trainer: Trainer) -> None:
    """Raise if the folder of a new run holds the checkpoints of another.

    Raises:
        UserError: Naming the newest of them.
    """
    newest = next(iter(_newest_first({_own_folder(trainer)}, "*.ckpt")), None)
    if newest is not None:
        raise UserError(
            f"{trainer.default_root_dir} holds a run already, with the checkpoint {newest}; go on "
            "with it by --resume auto, or give the new run a folder of its own with "
            "--trainer.default_root_dir"
        )


def newest_checkpoint(trainer: Trainer) -> Path | None:
    """The checkpoint that a run has written last, if there is one."""
    return next(iter(_newest_first(_run_folders(trainer), "*.ckpt")), None)


@contextmanager
def restoring(path: Path | None) -> Iterator[None]:
    """Say in one line that a whole checkpoint holds something else than the run has saved.

    Args:
        path: The checkpoint; None where Lightning chooses it.

    Raises:
        UserError: In place of what restoring it has raised, which is the cause.
    """
    try:
        yield
    except UserError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, pickle.UnpicklingError) as error:
        if not _is_of_restoring(error):
            raise
        what = shorten(f"{type(error).__name__}: {error}", 200)
        raise UserError(
            f"{path or 'the checkpoint'} cannot be restored ({what}); expected a checkpoint of a "
            "run with the same classes and settings, name another; --debug shows where it failed"
        ) from error


def _is_of_restoring(error: Exception) -> bool:
    """Whether an error arose where Lightning, or what it trains with, takes in a checkpoint."""
    return any(
        frame.f_globals.get("__name__") == RESTORING_MODULE
        or frame.f_code.co_name == "load_state_dict"
        for frame, _ in walk_tb(error.__traceback__)
    )


def _own_folder(trainer: Trainer) -> Path:
    """The folder of a run, as far as it is its own."""
    folder = Path(trainer.default_root_dir)
    # The working directory holds more than a run; Lightning writes to this part of it.
    return folder / "checkpoints" if folder.resolve() == Path.cwd() else folder


def _run_folders(trainer: Trainer) -> set[Path]:
    """Where a run's checkpoints are: its folder, and those that its callbacks name."""
    listed = trainer.callbacks  # type: ignore[attr-defined]
    callbacks = (entry for entry in listed if isinstance(entry, Checkpoint))
    named = (getattr(callback, "dirpath", None) for callback in callbacks)
    return {_own_folder(trainer), *(Path(name) for name in named if name)}


def _newest_first(folders: set[Path], pattern: str) -> list[Path]:
    """Checkpoints in folders and their subfolders; a link counts as what it leads to."""
    found = {path.resolve() for folder in folders for path in folder.rglob(pattern)}
    return sorted((path for path in found if path.exists()), key=_written, reverse=True)


def _written(path: Path) -> tuple[int, str]:
    """When a checkpoint was written; by name where the clock cannot tell."""
    return path.stat().st_mtime_ns, path.name
