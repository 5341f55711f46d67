"""Getting at the whole student, however the strategy has spread it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import FSDPStrategy
from torch import Tensor
from torch.distributed.fsdp import FullyShardedDataParallel

from ..errors import UserError
from ..inference.loading import image_encoder_of, vision_encoder_of
from ..inference.model_card import model_card
from ..inference.model_folder import write_model_folder
from ..models.image_input import ImageEncoder
from ..models.lora import merge_lora
from ..models.magvitv2 import MAGVITv2
from ..models.protocols import ImageModel
from ..models.vision_encoders import CLIPFeatures
from ..sampling.image_sampling import ImageSampling
from ..sampling.text_decoding import TextDecoding, decoding_of
from ..text_tokenizer import TextTokenizer
from .ranks import is_sharded
from .sharding import family_of, is_fully_sharded, take_whole_state, whole_state
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
    student = getattr(trainer.lightning_module, "student", None)
    if isinstance(student, ImageModel) and is_fully_sharded(student):
        return merge_lora(whole_state(student))
    state = trainer.strategy.lightning_module_state_dict()
    return merge_lora(
        {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
    )


@torch.no_grad()
def replace_teacher(trainer: Trainer, module: ShowoTurbo, source: ImageModel) -> None:
    """Give the module's teacher, sharded or not, the weights of a whole network, if it has one.

    Every process must call this, with the same network.
    """
    if not module.has_teacher():
        return
    if not isinstance(trainer.strategy, FSDPStrategy):
        if is_fully_sharded(module.teacher):
            take_whole_state(module.teacher, source.state_dict())
        else:
            module.reseed_teacher(source)
        return
    # A teacher that is not wrapped on its own lies, sharded, in the module around it.
    network = trainer.strategy.model
    assert network is not None  # set up with the strategy
    with FullyShardedDataParallel.summon_full_params(network, writeback=True):
        for mine, given in zip(module.teacher.parameters(), source.parameters(), strict=True):
            mine.copy_(given)


def whole_image_tokenizer(trainer: Trainer, module: LightningModule) -> MAGVITv2:
    """The module's image tokenizer, or a copy where the strategy has sharded it.

    Args:
        trainer: Whose strategy holds the weights.
        module: `ShowoTurbo`, or another module with an `image_tokenizer`.
    """
    if is_sharded(trainer):
        return MAGVITv2.from_pretrained(str(module.image_tokenizer_id)).to(module.device)
    image_tokenizer = module.image_tokenizer
    assert isinstance(image_tokenizer, MAGVITv2)
    return image_tokenizer


def whole_vision_encoder(trainer: Trainer, module: LightningModule) -> CLIPFeatures | None:
    """Likewise the module's vision encoder; None if it has none."""
    vision_encoder = getattr(module, "vision_encoder", None)
    if not isinstance(vision_encoder, CLIPFeatures):
        return None
    if is_sharded(trainer):
        name: Any = module.vision_encoder_id
        return vision_encoder_of(student_of(module, "whole_vision_encoder"), name)
    return vision_encoder


def whole_image_encoder(trainer: Trainer, module: LightningModule) -> ImageEncoder:
    """Likewise what encodes the images of questions."""
    return image_encoder_of(
        student_of(module, "whole_image_encoder"),
        whole_image_tokenizer(trainer, module),
        whole_vision_encoder(trainer, module),
    )


def write_network(
    folder: Path,
    state: Mapping[str, Tensor],
    trainer: Trainer,
    module: LightningModule,
    *,
    sampling: ImageSampling | None = None,
    decoding: TextDecoding | None = None,
    origin: Mapping[str, object],
) -> None:
    """Write weights of a module's student as a model folder that needs nothing beside it.

    Args:
        folder: The model folder.
        state: The weights.
        trainer: Whose strategy holds those of the image tokenizer and of the vision encoder.
        module: `ShowoTurbo`, or another module with a `student`, and with the tokenizers.
        sampling: Recommended for the model.
        decoding: Likewise, but for the method of a family that has one only.
        origin: Where the weights come from, for the model card.
    """
    student = student_of(module, "write_network")
    text_tokenizer = getattr(module, "text_tokenizer", None)
    write_model_folder(
        folder,
        state,
        student.config,
        image_tokenizer=whole_image_tokenizer(trainer, module),
        text_tokenizer=text_tokenizer if isinstance(text_tokenizer, TextTokenizer) else None,
        vision_encoder=whole_vision_encoder(trainer, module),
        sampling=sampling,
        decoding=decoding_of(family_of(student), decoding),
        card=model_card(family_of(student), student.config, origin),
    )


def write_student(
    folder: Path,
    trainer: Trainer,
    module: LightningModule,
    sampling: ImageSampling | None = None,
    decoding: TextDecoding | None = None,
) -> None:
    """Write the student as a model folder; every process must call this. See `write_network`."""
    state = gather_student(trainer)
    if not trainer.is_global_zero:
        return
    origin = {"optimizer steps": trainer.global_step}
    write_network(
        folder, state, trainer, module, sampling=sampling, decoding=decoding, origin=origin
    )
