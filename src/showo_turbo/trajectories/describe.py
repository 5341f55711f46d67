"""What a store holds, for people to read."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .dataset import DenoisedTextDataset, ImageTrajectoryDataset, open_texts
from .record import MaskedTrajectory
from .store import TrajectoryStore

SAMPLES_SHOWN = 5


def describe_store(folder: Path | str) -> RenderableType:
    """Return tables of how a store was made, what is in it and what its first samples are.

    An unfinished store is described as far as it is known.

    Args:
        folder: A store of either kind.

    Raises:
        UserError: If it is not a store, or is finished but a shard is missing or damaged.
    """
    store = TrajectoryStore.inspect(folder)
    title = Text(f"Trajectories in {store.folder}", style="bold")
    if not store.complete:
        return Group(title, _facts(store))
    return Group(title, _facts(TrajectoryStore.open(folder)), "First trajectories", _samples(store))


def _facts(store: TrajectoryStore) -> Table:
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _rows(store):
        table.add_row(name, Text(value))
    return table


def _rows(store: TrajectoryStore) -> Iterator[tuple[str, str]]:
    identity, manifest = store.identity, store.manifest
    yield "kind", identity.kind
    yield "teacher", identity.teacher
    for name, value in identity.settings.items():
        yield name.rpartition(".")[-1].replace("_", " "), str(value)
    yield "prompts", f"{identity.num_prompts:,}"
    if not store.complete:
        yield "state", "unfinished; run the same collect command again to continue it"
        return
    yield "trajectories", f"{manifest.samples:,}"
    for reason, count in manifest.filtered.items():
        yield f"left out: {reason}", f"{count:,} ({count / identity.num_prompts:.1%})"
    if manifest.mean_kept_mass is not None:
        yield "mass kept, mean", f"{manifest.mean_kept_mass:.4f}"
    totals = manifest.totals
    if blocks := totals.get("blocks"):
        yield "blocks", f"{int(blocks):,}"
        if (iterations := totals.get("iterations")) is not None:
            yield "iterations per block, mean", f"{iterations / blocks:.2f}"
        tokens = totals.get("answer_tokens", 0)
        yield "tokens an answer, mean", f"{tokens / max(manifest.samples, 1):.1f}"
    size = sum(path.stat().st_size for path in store.shard_paths())
    yield "shards", f"{len(manifest.shards)} ({size / 1e6:.1f} MB)"


def _samples(store: TrajectoryStore) -> Table:
    shown = range(min(SAMPLES_SHOWN, store.num_samples))
    if store.identity.kind == "images":
        table = Table("key", "prompt", "least mass kept")
        images = ImageTrajectoryDataset(store)
        for image in (images[index] for index in shown):
            table.add_row(Text(image.key), Text(image.prompt), f"{image.kept_mass.min():.3f}")
    else:
        texts = open_texts(store)
        denoised = isinstance(texts, DenoisedTextDataset)
        table = Table("key", "question", "tokens", "steps" if denoised else "iterations")
        for text in (texts[index] for index in shown):
            steps = [
                block.steps if isinstance(block, MaskedTrajectory) else len(block) - 1
                for block in text.blocks
            ]
            counts = str(len(text.answer_ids)), " ".join(map(str, steps))
            table.add_row(Text(text.key), Text(text.text), *counts)
    return table
