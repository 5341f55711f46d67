"""A training step that went wrong, as files: written by `FiniteGuard`, read by `replay`."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from ..files import read_json
from ..models.checkpoints import accept_non_finite
from ..models.showo import Showo
from .turbo import LossWeights, ShowoTurbo

INCIDENT_FILE = "incident.json"
STUDENT_FOLDER = "student"
TARGET_FOLDER = "target"
"""The network that makes the consistency target, where it is not the student."""

_BATCH = re.compile(r"batch-(\d{1,9})-(\d{1,18})\.safetensors")


def batch_name(rank: int, index: int) -> str:
    """File of a process's batch, `index` being its number in the epoch."""
    return f"batch-{rank}-{index}.safetensors"


def batch_files(folder: Path) -> list[Path]:
    """The batches of an incident, process after process.

    A step that was met again, with fewer processes say, leaves those of the earlier time behind;
    they are not of the incident that is described.
    """
    incident = read_json(folder / INCIDENT_FILE)
    processes, indices = incident.get("processes"), incident.get("batches")
    known = isinstance(processes, int) and isinstance(indices, list)
    files = {}
    for path in folder.glob("batch-*.safetensors"):
        if match := _BATCH.fullmatch(path.name):
            rank, index = map(int, match.groups())
            if not known or (rank < processes and index in indices):
                files[rank, index] = path
    return [files[place] for place in sorted(files)]


def settings_of(module: ShowoTurbo) -> dict[str, Any]:
    """What determines the module's losses, beside its networks; plain JSON."""
    return {
        "weights": asdict(module.weights),
        "consistency_target": module.consistency_target,
        "max_language_length": module.max_language_length,
        "image_tokenizer": module.image_tokenizer_id,
    }


def target_of(module: ShowoTurbo) -> Showo | None:
    """The network that makes the consistency target, if it is not the student."""
    return None if module.target is module.student else module.target


def read_incident(folder: Path) -> dict[str, Any]:
    """Read what is known of an incident.

    Raises:
        UserError: If the folder holds none that can be replayed.
    """
    incident = read_json(folder / INCIDENT_FILE)
    kinds = {"settings": dict, "losses": dict, "precision": str}
    if not isinstance(incident, dict) or not all(
        isinstance(incident.get(name), kind) for name, kind in kinds.items()
    ):
        raise UserError(f"{folder / INCIDENT_FILE} describes no incident; name another folder")
    if not incident["settings"] or not batch_files(folder):
        raise UserError(
            f"{folder} cannot be replayed: it needs the settings of ShowoTurbo in {INCIDENT_FILE}, "
            "and batch-*.safetensors"
        )
    return incident


def rebuild_module(folder: Path, settings: dict[str, Any]) -> ShowoTurbo:
    """Make the module as it was when the incident was written.

    Raises:
        UserError: If its networks or settings cannot be read.
    """
    student = str(folder / STUDENT_FOLDER)
    try:
        weights = LossWeights(**settings["weights"])
        settings = settings | {"weights": weights}
        if (folder / TARGET_FOLDER).is_dir():
            # Whatever made the target, in a single step it is a network that stands still.
            settings["consistency_target"] = "teacher"
        module = ShowoTurbo(student, text_tokenizer=student, **settings)
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{folder / INCIDENT_FILE} has other settings than this version ({error}); replay it "
            "with the version that wrote it"
        ) from None
    with accept_non_finite():
        module.configure_model()
        if target_of(module) is not None:
            target = Showo.from_pretrained(folder / TARGET_FOLDER)
            module.target.load_state_dict(target.state_dict())
    return module.train()


def non_finite_gradients(module: torch.nn.Module) -> list[str]:
    """Names of the parameters whose gradients are not finite."""
    return [
        name
        for name, parameter in module.named_parameters()
        if parameter.grad is not None and not parameter.grad.isfinite().all()
    ]
