"""A run has its folder to itself."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lightning.pytorch import Trainer

from ..utils.lock import folder_lock

PATIENCE_SECONDS = 15.0
"""How long the workers of a killed run's loaders, which notice it within 5 s, may hold its lock."""


@contextmanager
def run_lock(trainer: Trainer) -> Iterator[None]:
    """Hold `trainer.default_root_dir` against other runs; the first process does so for all.

    A run that has no folder of its own, one that is only tried out (`fast_dev_run`) and one that
    writes to remote storage hold nothing.

    Raises:
        UserError: If another run holds it, naming that run's process and the lock's age.
    """
    folder = Path(trainer.default_root_dir)
    has_folder = folder.resolve() != Path.cwd() and "://" not in trainer.default_root_dir
    if not has_folder or not trainer.is_global_zero or getattr(trainer, "fast_dev_run", False):
        yield
        return
    was_there = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with folder_lock(folder, wait_s=PATIENCE_SECONDS):
            yield
    finally:
        if not was_there:  # a run that was refused at once has written nothing
            with suppress(OSError):
                folder.rmdir()
