"""Collecting one store by separate commands, such as one on each of many machines.

They see one folder and share nothing else. None waits for another: each begins the store, or takes
up the one that another has begun, makes the shards that are its own, and leaves; whoever finds all
shards finished writes the manifest. So they may run at different times, and one that was killed
continues when it is started again.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import UserError
from ..utils.files import remove_leftovers
from ..utils.lock import LOCK_NAME, folder_lock
from .manifest import StoreIdentity
from .store import TrajectoryStore

PATIENCE_S = 60.0
"""How long a command waits for another one that writes the manifest."""


def begin_part(folder: Path, identity: StoreIdentity) -> TrajectoryStore:
    """Begin a store, or take up the one of the same identity that another command began.

    Args:
        folder: The store's.
        identity: What is collected.

    Raises:
        UserError: If the folder holds something else, or a store of another identity.
    """
    if folder.exists() and not folder.is_dir():
        return TrajectoryStore.create_or_continue(folder, identity)  # which says why not
    folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder, wait_s=PATIENCE_S):
        return TrajectoryStore.create_or_continue(folder, identity)


@contextmanager
def part_lock(store: TrajectoryStore, rank: int) -> Iterator[None]:
    """Hold the shards of one rank for writing.

    Raises:
        UserError: If another process of the same rank holds them.
    """
    with folder_lock(store.folder, f"{LOCK_NAME}-{rank}"):
        yield


def check_no_part_is_written(folder: Path) -> None:
    """Raise if separate commands are writing to the store.

    Raises:
        UserError: Naming one of them.
    """
    for path in folder.glob(f"{LOCK_NAME}-*[0-9]"):
        with folder_lock(folder, path.name):
            pass


def finish_if_whole(store: TrajectoryStore) -> TrajectoryStore:
    """Write the manifest if all shards are there, and return the store as it now is.

    Raises:
        UserError: If all shards are noted, but one is missing or damaged.
    """
    with folder_lock(store.folder, wait_s=PATIENCE_S):
        whole = len(store.noted()) == store.identity.num_shards
        if whole and not (store.complete and not store.notes()):
            store.finish()
            with suppress(UserError):  # where one of them still writes, it cleans up itself
                check_no_part_is_written(store.folder)
                remove_leftovers(store.folder)
    return TrajectoryStore.inspect(store.folder)
