"""A training step that went wrong, as files: written by `FiniteGuard`, read by `replay`."""

import re
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from .. import losses
from ..errors import UserError, shown
from ..losses.term import LossTerm
from ..models.checkpoints import accept_non_finite
from ..models.protocols import ImageModel
from ..models.registry import load_model
from ..sampling.image_sampling import ImageSampling
from ..targets import StudentTarget, TeacherTarget
from ..text_tokenizer import FILE_NAME
from ..utils.files import read_json
from .turbo import ShowoTurbo

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
        "losses": {name: describe_term(term) for name, term in module.losses.items()},
        "max_language_length": module.max_language_length,
        "image_tokenizer": module.image_tokenizer_id,
        "random_start": module.sampling.random_start,
    }


def describe_term(term: LossTerm) -> dict[str, Any]:
    """A loss term in plain JSON: its class, and its options as far as they are plain."""
    kind = type(term)
    plain = (str, int, float, bool, type(None))
    options = {name: value for name, value in vars(term).items() if isinstance(value, plain)}
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": options}


def rebuild_term(name: str, entry: Mapping[str, Any]) -> LossTerm:
    """Make a loss term from its description.

    An incident is data, which does not choose the code that runs: only the terms of this package
    are made.

    Raises:
        UserError: If it is another one.
    """
    module, _, kind = str(entry["class_path"]).rpartition(".")
    found: Any = getattr(losses, kind, None)
    is_term = isinstance(found, type) and issubclass(found, LossTerm)
    if found is None or not is_term or found.__module__ != module:
        raise UserError(
            f"losses.{name} of the incident is {shown(entry['class_path'])}; replay makes "
            f"the terms of {losses.__name__} alone, so it cannot compute this one"
        )
    options = dict(entry["init_args"])
    if "stream" not in signature(found).parameters:  # it follows from the class
        options.pop("stream", None)
    term: LossTerm = found(**options)
    return term


def target_of(module: ShowoTurbo) -> ImageModel | None:
    """The network that makes the consistency target, if it is not the student."""
    network = module.consistency_target.network(module)
    return None if network is module.student else network


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
            f"{folder} cannot be replayed; expected the settings of ShowoTurbo in {INCIDENT_FILE}, "
            "and batch-*.safetensors, name the folder of another incident"
        )
    return incident


def rebuild_module(folder: Path, settings: dict[str, Any], family: str | None = None) -> ShowoTurbo:
    """Make the module as it was when the incident was written.

    Args:
        folder: The incident's.
        settings: What it notes.
        family: Class of the student, if it is of a family of one's own.

    Raises:
        UserError: If its networks or settings cannot be read.
    """
    student = str(folder / STUDENT_FOLDER)
    settings = dict(settings)
    share = settings.pop("random_start", 0.0)
    if not isinstance(share, int | float) or not 0 <= share <= 1:
        raise UserError(
            f"{folder / INCIDENT_FILE} has {shown(share)} for random_start; expected a share, "
            "restore it"
        )
    try:
        terms = {name: rebuild_term(name, entry) for name, entry in settings["losses"].items()}
        settings |= {"losses": terms, "sampling": ImageSampling(random_start=share)}
        # Whatever made the target, in a single step it is a network that stands still.
        target = TeacherTarget() if (folder / TARGET_FOLDER).is_dir() else StudentTarget()
        texts = student if (folder / STUDENT_FOLDER / FILE_NAME).is_file() else None
        module = ShowoTurbo(
            student, text_tokenizer=texts, family=family, consistency_target=target, **settings
        )
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{folder / INCIDENT_FILE} has other settings than this version ({error}); replay it "
            "with the version that wrote it"
        ) from None
    with accept_non_finite():
        module.configure_model()
        if target_of(module) is not None:
            network = load_model(folder / TARGET_FOLDER, family)
            module.teacher.load_state_dict(network.state_dict())
    return module.train()


def non_finite_gradients(module: torch.nn.Module) -> list[str]:
    """Names of the parameters whose gradients are not finite."""
    return [
        name
        for name, parameter in module.named_parameters()
        if parameter.grad is not None and not parameter.grad.isfinite().all()
    ]
