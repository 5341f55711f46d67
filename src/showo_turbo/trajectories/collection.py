"""The loop that both collectors share: shard by shard, over processes, with progress."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..models.modes import evaluating
from ..utils.files import remove_leftovers
from ..utils.hashing import fingerprint_lines
from ..utils.lock import folder_lock
from ..utils.progress import progress_bar
from .manifest import StoreIdentity
from .model_identity import ModelIdentity
from .parts import check_no_part_is_written, finish_if_whole, part_lock
from .store import TrajectoryStore, no_barrier

Item = TypeVar("Item")


@dataclass(frozen=True)
class Processes:
    """Who shares the work of a collection.

    Args:
        rank: Which process this is.
        world_size: How many there are.
        barrier: Returns when all processes have called it.
        separate: Whether they are separate commands, on machines of their own, that neither wait
            for each other nor begin together; see `parts.py`. There is no barrier then.
    """

    rank: int = 0
    world_size: int = 1
    barrier: Callable[[], None] = no_barrier
    separate: bool = False


ALONE = Processes()
"""One process does all."""


@dataclass
class ShardContent:
    """What becomes of the prompts of one shard; see `TrajectoryStore.write_shard`."""

    tensors: dict[str, Tensor]
    samples: int
    filtered: Mapping[str, int] = field(default_factory=dict)
    totals: Mapping[str, float] = field(default_factory=dict)


MakeShard = Callable[[range, Callable[[int], None]], ShardContent]
"""Makes a shard of the prompts with these indices, and tells how many have been done."""


def collect(
    teacher: nn.Module,
    store: TrajectoryStore,
    make_shard: MakeShard,
    processes: Processes = ALONE,
    progress: bool = True,
    device: torch.device | None = None,
) -> TrajectoryStore:
    """Make all shards that are yet to be made, and finish the store.

    A shard is always made as a whole and by one process, so that neither an interruption nor the
    number of processes changes its bytes. The first process holds the store's lock meanwhile; of
    separate ones (see `Processes`) each holds one of its own.

    Args:
        teacher: Put into evaluation mode meanwhile.
        store: Begun with `TrajectoryStore.create_or_continue`.
        make_shard: Called with the prompts' indices and with a function that counts how many
            of them have been done.
        processes: Who shares the work.
        progress: Whether to show a progress bar; only the first process does.
        device: Where the teacher decodes; it is brought there if anything is left to collect. By
            default it stays where it is.

    Returns:
        The finished store; where separate processes collect it, the store as far as it is finished.

    Raises:
        UserError: If another run writes to the store; or if, in the end, a shard is missing: the
            processes share no folder.
    """
    if processes.separate:
        with part_lock(store, processes.rank):
            _make_shards(teacher, store, make_shard, processes, progress, device)
        return finish_if_whole(store)
    first = processes.rank == 0
    with folder_lock(store.folder) if first else nullcontext():
        if first:
            check_no_part_is_written(store.folder)
            remove_leftovers(store.folder)
        processes.barrier()
        _make_shards(teacher, store, make_shard, processes, progress and first, device)
        processes.barrier()
        if first:
            store.finish()
        processes.barrier()
    return TrajectoryStore.open(store.folder, verify=False)


def _make_shards(
    teacher: nn.Module,
    store: TrajectoryStore,
    make_shard: MakeShard,
    processes: Processes,
    progress: bool,
    device: torch.device | None,
) -> None:
    """Make the shards that are this process's and are yet to be made."""
    pending = store.pending(processes.rank, processes.world_size)
    count = sum(len(store.identity.shard_prompts(index)) for index in pending)
    bar = progress_bar(f"collecting {store.identity.kind}", count, progress)
    if pending and device is not None:
        teacher.to(device)
    with evaluating(teacher), bar as advance:
        for index in pending:
            content = make_shard(store.identity.shard_prompts(index), advance)
            store.write_shard(
                index,
                content.tensors,
                samples=content.samples,
                filtered=content.filtered,
                totals=content.totals,
            )


def batches(
    indices: Sequence[int], batch_size: int, length: Callable[[int], int]
) -> Iterator[list[int]]:
    """Cut a shard's prompts into batches of about equal length, the shortest first.

    None reaches into another shard, and nothing that is drawn depends on the order.

    Args:
        indices: The shard's.
        batch_size: Prompts of a batch at most.
        length: Gives the number of tokens of a prompt.
    """
    ordered = sorted(indices, key=length)
    for start in range(0, len(ordered), batch_size):
        yield ordered[start : start + batch_size]


def store_identity(
    kind: str,
    teacher: str,
    rows: Iterable[object],
    count: int,
    settings: Mapping[str, Any],
    model: ModelIdentity,
) -> StoreIdentity:
    """Return what determines a store.

    Args:
        kind: `images` or `texts`.
        teacher: The teacher's `fingerprint_module`.
        rows: What of each prompt goes into the fingerprint.
        count: Number of prompts.
        settings: How they are collected; options in options are recorded under dotted names. The
            size of a batch leaves no trace in a store.
        model: What the teacher is, apart from its weights.
    """
    recorded = _flat({name: value for name, value in settings.items() if name != "batch_size"})
    shard_size = recorded.pop("shard_size")
    return StoreIdentity(kind, teacher, fingerprint_lines(rows), count, shard_size, recorded, model)


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with those of a mapping in them under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": option for inner, option in _flat(value).items()}
        else:
            flat[name] = value
    return flat


def check_items(store: TrajectoryStore, kind: str, items: Sequence[Item], shard_size: int) -> None:
    """Check that a store was begun for these prompts.

    Raises:
        UserError: If there are none, or the store is of another kind or number.
    """
    if not items:
        raise UserError("there are no prompts to collect trajectories for; expected at least one")
    identity = store.identity
    expected = (kind, len(items), shard_size)
    if (identity.kind, identity.num_prompts, identity.shard_size) != expected:
        raise UserError(
            f"{store.folder} was begun for {identity.num_prompts} prompts for {identity.kind}, "
            f"{identity.shard_size} to a shard, but {len(items)} prompts for {kind}, "
            f"{shard_size} to a shard, were given; begin it with the identity of these prompts"
        )


def check_positive(settings: object, *names: str) -> None:
    """Check that settings are at least 1.

    Raises:
        UserError: If one is not.
    """
    for name in names:
        value = getattr(settings, name)
        if value < 1:
            raise UserError(f"{name} is {value}; expected at least 1")
