"""Getting at the whole student, however the strategy has spread it."""

from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import FSDPStrategy
from torch import Tensor
from torch.distributed.fsdp import FullyShardedDataParallel

from ..errors import UserError
from ..models.checkpoints import save_checkpoint
from ..models.lora import merge_lora
from ..models.protocols import ImageModel
from ..text_tokenizer import FILE_NAME, TextTokenizer
from ..utils.files import write_atomically
from .turbo import ShowoTurbo

PREFIX = "student."


def student_of(module: LightningModule, wanted_by: str) -> ImageModel:
    """The network that a module distills.

    Args:
        module: `ShowoTurbo`, or another module with a `student`.
        wanted_by: Who asks, for the message.

    Raises:
        UserError: If it has none.
    """
    student = getattr(module, "student", None)
    if not isinstance(student, ImageModel):
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


@torch.no_grad()
def replace_teacher(trainer: Trainer, module: ShowoTurbo, source: ImageModel) -> None:
    """Give the module's teacher, sharded or not, the weights of a whole network.

    Every process must call this, with the same network.
    """
    if not isinstance(trainer.strategy, FSDPStrategy):
        module.reseed_teacher(source)
        return
    # A teacher that is not wrapped on its own lies, sharded, in the module around it.
    network = trainer.strategy.model
    assert network is not None  # set up with the strategy
    with FullyShardedDataParallel.summon_full_params(network, writeback=True):
        for mine, given in zip(module.teacher.parameters(), source.parameters(), strict=True):
            mine.copy_(given)


def write_student(folder: Path, trainer: Trainer, module: LightningModule) -> None:
    """Write the student as a model folder, with its text tokenizer; every process must call this.

    Args:
        folder: The model folder.
        trainer: Whose strategy holds the weights.
        module: `ShowoTurbo`, or another module with a `student`.
    """
    state = gather_student(trainer)
    if not trainer.is_global_zero:
        return
    save_checkpoint(folder, state, student_of(module, "write_student").config.to_dict())
    tokenizer = getattr(module, "text_tokenizer", None)
    if isinstance(tokenizer, TextTokenizer):
        with write_atomically(folder / FILE_NAME) as temporary:
            temporary.write_text(tokenizer.tokenizer.to_str(), encoding="utf-8")
