"""The teacher of a round: saved once, checked, and read back."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from ..errors import UserError
from ..models.protocols import ImageModel
from ..models.registry import find_family, load_model
from ..sampling.image_sampling import ImageSampling
from ..training.ranks import is_sharded
from ..training.student_weights import gather_student, replace_teacher, write_network
from ..training.turbo import ShowoTurbo
from ..trajectories import fingerprint_module, fingerprint_tensors
from ..utils.files import read_json, write_json
from ..utils.lock import folder_lock

RECORD = "fingerprint.json"
"""Written beside the teacher when it is complete."""


def prepare_teacher(
    trainer: Trainer,
    module: ShowoTurbo,
    folder: Path,
    *,
    first: bool,
    known: str | None,
    sampling: ImageSampling,
) -> tuple[ImageModel, str]:
    """Save the round's teacher unless that was done, and take it from where it was saved.

    Every process must call this. Where the checkpoint does not know the teacher, the folder may be
    that of another training: a run that was started again in the same folder, say. A student that
    becomes the teacher is compared with the one that was saved. The same one is kept, with the
    trajectories beside it; of another one the whole round is put aside and begun again, since it
    may as well be this run's own, trained to other bits on a GPU.

    Args:
        trainer: Whose strategy holds the weights.
        module: Takes the teacher over.
        folder: The teacher's.
        first: Whether the teacher is the model that the run starts from, instead of the student.
        known: The teacher's fingerprint according to the checkpoint that is resumed, if any.
        sampling: How the teacher samples in this round, which its folder says.

    Returns:
        The whole teacher and its fingerprint. It is the module's where that has one; the student
        itself, while its weights are still the teacher's; or a copy in the host's memory.

    Raises:
        UserError: If the folder holds another teacher than the run's, or a damaged one, or not the
            same one for all processes.
    """
    record = folder / RECORD
    base = None
    if known is None and first:
        network = module.load_base()
        base = fingerprint_module(network)
        if not trainer.strategy.broadcast(record.is_file()):
            _save(trainer, folder, network.state_dict(), module, sampling)
        del network
    elif known is None:
        _save_student(trainer, folder, module, sampling)
    teacher = load_model(folder, module.family)
    fingerprint = fingerprint_module(teacher)
    if known is not None and known != fingerprint:
        raise UserError(
            f"the teacher in {folder} is not the one that the checkpoint was trained with "
            f"({fingerprint[:12]} instead of {known[:12]}); restore that folder or start a new run"
        )
    if _recorded(record) != fingerprint:
        raise UserError(
            f"the teacher in {folder} is damaged: its fingerprint is not the one noted in "
            f"{record.name}; restore that folder, or remove it to begin the round again"
        )
    if base is not None and fingerprint != base:
        raise UserError(
            f"{folder} holds the teacher of another run; use another trainer.default_root_dir "
            "or remove that folder"
        )
    if trainer.strategy.broadcast(fingerprint) != fingerprint:
        raise UserError(
            f"{folder} holds another teacher for process {trainer.global_rank} than for the first; "
            "all processes must see one shared folder; start again"
        )
    module.set_teacher_folder(folder)
    replace_teacher(trainer, module, teacher)
    if not is_sharded(trainer):
        if module.has_teacher():
            return module.teacher, fingerprint
        if same_weights(module.student, teacher):
            return module.student, fingerprint
    return teacher, fingerprint


def same_weights(network: nn.Module, other: nn.Module) -> bool:
    """Whether two networks have the same parameters, bit for bit, wherever they are."""
    ours, theirs = dict(network.named_parameters()), dict(other.named_parameters())
    return ours.keys() == theirs.keys() and all(
        torch.equal(value.detach().cpu(), theirs[name].detach().cpu())
        for name, value in ours.items()
    )


def _save_student(
    trainer: Trainer, folder: Path, module: ShowoTurbo, sampling: ImageSampling
) -> None:
    """Write the student as the round's teacher, unless that very one is there."""
    state = gather_student(trainer)
    there = False
    if trainer.is_global_zero and (folder / RECORD).is_file():
        there = _recorded(folder / RECORD) == _fingerprint(state, module)
        if not there:
            _put_aside(folder.parent)
    if not trainer.strategy.broadcast(there):
        _save(trainer, folder, state, module, sampling)


def _save(
    trainer: Trainer,
    folder: Path,
    state: Mapping[str, Tensor],
    module: ShowoTurbo,
    sampling: ImageSampling,
) -> None:
    """Write weights, which the first process has, as the round's teacher."""
    if trainer.is_global_zero:
        write_network(
            folder,
            state,
            trainer,
            module,
            sampling=sampling,
            decoding=module.teacher_decoding,
            origin={"teacher of": folder.parent.name},
        )
        fingerprint = fingerprint_module(load_model(folder, module.family))
        write_json(folder / RECORD, {"teacher": fingerprint})
    trainer.strategy.barrier("teacher saved")


def _recorded(record: Path) -> str | None:
    """The fingerprint that is noted beside a teacher; none if the note does not say."""
    value = read_json(record)
    return value.get("teacher") if isinstance(value, dict) else None


def _fingerprint(state: Mapping[str, Tensor], module: ShowoTurbo) -> str:
    """The fingerprint that a network has once it is saved and read back."""
    config = module.student.config
    with torch.device("meta"):
        network = find_family(config.to_dict(), module.family, "the student")(config)
    return fingerprint_tensors(
        {name: state[name].to(meta.dtype) for name, meta in network.named_parameters()}
    )


def _put_aside(round_folder: Path) -> None:
    """Give the folder of a round another name, as a whole, so that nothing of it is taken for ours.

    Raises:
        UserError: If another run is writing its trajectories.
    """
    for manifest in round_folder.glob("*/manifest.json"):
        with folder_lock(manifest.parent):
            pass
    names = (f"replaced-{round_folder.name}-{number}" for number in itertools.count(1))
    target = next(path for path in map(round_folder.with_name, names) if not path.exists())
    round_folder.rename(target)
    rank_zero_info(
        f"{round_folder} was of another training, with another teacher than this run's student: "
        f"put aside as {target.name}, and the round is begun again; remove it if it is not needed"
    )
