"""Getting at the whole student, however the strategy has spread it."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from torch import Tensor

from showo_turbo.errors import UserError
from showo_turbo.models.lora import merge_lora
from showo_turbo.models.showo import Showo

PREFIX = "student."


def is_sharded(trainer: Trainer) -> bool:
    """Whether no single process holds all weights."""
    return isinstance(trainer.strategy, (FSDPStrategy, DeepSpeedStrategy, ModelParallelStrategy))


def student_of(module: LightningModule, wanted_by: str) -> Showo:
    """The network that a module distills.

    Args:
        module: `ShowoTurbo`, or another module with a `student`.
        wanted_by: Who asks, for the message.

    Raises:
        UserError: If it has none.
    """
    student = getattr(module, "student", None)
    if not isinstance(student, Showo):
        raise UserError(
            f"{wanted_by} looks for the student of {type(module).__name__}, which has none; use it "
            "with ShowoTurbo, or leave it out"
        )
    return student


def gather_student(trainer: Trainer) -> dict[str, Tensor]:
    """The student's whole state dict, adapters merged; every process must call this.

    Sharded strategies give it to the first process only, the others get an empty one.
    """
    state = trainer.strategy.lightning_module_state_dict()
    return merge_lora(
        {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
    )
