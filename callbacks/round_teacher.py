"""The teacher of a round: saved once, checked, and read back."""

from pathlib import Path

from lightning.pytorch import Trainer

from showo_turbo.errors import UserError
from showo_turbo.files import read_json, write_json
from showo_turbo.models.checkpoints import save_checkpoint
from showo_turbo.models.showo import Showo
from showo_turbo.training.turbo import ShowoTurbo
from showo_turbo.trajectories import fingerprint_module

from .student_weights import gather_student, is_sharded, replace_teacher

RECORD = "fingerprint.json"
"""Written beside the teacher when it is complete."""


def prepare_teacher(
    trainer: Trainer, module: ShowoTurbo, folder: Path, *, first: bool, known: str | None
) -> tuple[Showo, str]:
    """Save the round's teacher unless that was done, and take it from where it was saved.

    Every process must call this.

    Args:
        trainer: Whose strategy holds the weights.
        module: Takes the teacher over.
        folder: The teacher's.
        first: Whether the teacher is the model that the run starts from, instead of the student.
        known: The teacher's fingerprint according to the checkpoint that is resumed, if any.

    Returns:
        The whole teacher (the module's, or a copy where the strategy has sharded that), and its
        fingerprint.

    Raises:
        UserError: If the folder holds another teacher than the run's, or a damaged one.
    """
    record = folder / RECORD
    if known is None and not trainer.strategy.broadcast(record.is_file()):
        _save_teacher(trainer, module, folder, first)
    teacher = Showo.from_pretrained(folder)
    fingerprint = fingerprint_module(teacher)
    if known is not None and known != fingerprint:
        raise UserError(
            f"the teacher in {folder} is not the one that the checkpoint was trained with "
            f"({fingerprint[:12]} instead of {known[:12]}); restore that folder or start a new run"
        )
    if read_json(record)["teacher"] != fingerprint:
        raise UserError(
            f"the teacher in {folder} is damaged: its fingerprint is not the one noted in "
            f"{record.name}; restore that folder, or remove it to begin the round anew"
        )
    if known is None and first and fingerprint != fingerprint_module(_base(trainer, module)):
        raise UserError(
            f"{folder} holds the teacher of another run; use another trainer.default_root_dir "
            "or remove that folder"
        )
    replace_teacher(trainer, module, teacher)
    return (teacher.to(module.device) if is_sharded(trainer) else module.teacher), fingerprint


def _save_teacher(trainer: Trainer, module: ShowoTurbo, folder: Path, first: bool) -> None:
    """Write the model that the run starts from, or the student, as the round's teacher."""
    state = _base(trainer, module).state_dict() if first else gather_student(trainer)
    if trainer.is_global_zero:
        save_checkpoint(folder, state, module.student.config.to_dict())
        fingerprint = fingerprint_module(Showo.from_pretrained(folder))
        write_json(folder / RECORD, {"teacher": fingerprint})
    trainer.strategy.barrier("teacher saved")


def _base(trainer: Trainer, module: ShowoTurbo) -> Showo:
    """The whole model that a run starts from."""
    return Showo.from_pretrained(module.model_id) if is_sharded(trainer) else module.teacher
