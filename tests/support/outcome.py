"""What a run ends in, so that two runs can be compared bit for bit."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def contents(folder: Path) -> dict[str, str]:
    """Everything that must not depend on kills: its name, and a hash or value."""
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
