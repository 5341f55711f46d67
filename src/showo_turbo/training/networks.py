"""The networks of a distillation: where they come from, and what checkpoints hold of them."""

import math
from pathlib import Path
from typing import Any, Literal, cast

from ..errors import UserError
from ..inference.generation_config import note_generation
from ..inference.loading import (
    check_own_text_tokenizer,
    own_vision_encoder,
    vision_encoder_of,
)
from ..models.checkpoints import (
    IMAGE_TOKENIZER_KEY,
    MODEL_CONFIG_KEY,
    TEXT_TOKENIZER_KEY,
    VISION_ENCODER_KEY,
)
from ..models.lora import merge_lora
from ..models.magvitv2 import MAGVITv2
from ..models.protocols import ImageModel
from ..models.registry import import_family, load_model
from ..text_tokenizer import TextTokenizer
from .auxiliary import Auxiliary
from .compiling import compile_layers
from .frozen import drop_excluded, exclude_from_checkpoints, freeze
from .geometry import check_geometry
from .lora import LoRAOptions, add_lora
from .measured import MeasuredModule
from .sharding import shard

AUXILIARY_KEY = "auxiliary"
"""Of the auxiliary network in checkpoints."""


class DistillationNetworks(MeasuredModule):
    """A student, its teacher, the base that both began as, and their tokenizers.

    The student is trained and saved. The others are frozen, and loaded when they are needed.

    Args:
        student: See `ShowoTurbo`, likewise for what follows.
        image_tokenizer: Likewise.
        text_tokenizer: Likewise.
        vision_encoder: Likewise.
        family: Likewise.
        noise_size: Likewise.
        noise_scale: Likewise.
        lora: Likewise.
        gradient_checkpointing: Likewise.
        compile_layers: Likewise.
        flex_attention: Likewise.
        **measured: Those of `MeasuredModule`.

    Raises:
        UserError: If there is no such family, or an option is out of range.
    """

    def __init__(
        self,
        student: str,
        image_tokenizer: str,
        text_tokenizer: str | None,
        vision_encoder: str | None,
        family: str | None,
        noise_size: int,
        noise_scale: float,
        lora: LoRAOptions | None,
        gradient_checkpointing: bool | Literal["elementwise"],
        compile_layers: bool,
        flex_attention: bool,
        **measured: Any,
    ) -> None:
        super().__init__(**measured)
        self.model_id = student
        self.image_tokenizer_id = image_tokenizer
        self.text_tokenizer_id = text_tokenizer
        self.vision_encoder_id = vision_encoder
        self.family = family
        if family is not None:
            import_family(family)
        self.text_tokenizer = None
        if text_tokenizer is not None:
            self.text_tokenizer = TextTokenizer.from_pretrained(text_tokenizer)
        self.noise_size = noise_size
        self.noise_scale = noise_scale
        self.lora = lora
        self.gradient_checkpointing = gradient_checkpointing
        self.compile_layers = compile_layers
        self.flex_attention = flex_attention
        if flex_attention and gradient_checkpointing == "elementwise":
            raise UserError(
                "flex_attention is recomputed with its layer only; set gradient_checkpointing to "
                "true or false, not to elementwise"
            )
        self._teacher_folder: Path | None = None
        self._auxiliary: Auxiliary | None = None
        self._auxiliary_state: dict[str, Any] | None = None
        if noise_size < 0:
            raise UserError(f"noise_size is {noise_size}; expected 0 or more, correct it")
        if not 0 <= noise_scale < math.inf:
            raise UserError(f"noise_scale is {noise_scale}; expected 0 or more, correct it")
        if noise_scale and not noise_size:
            raise UserError(
                f"noise_scale is {noise_scale}, but the student reads no noise; set noise_size, "
                "such as to 64"
            )
        for name in ("teacher", "base", "image_tokenizer", "vision_encoder"):
            exclude_from_checkpoints(self, name)

    student: ImageModel

    @property
    def measured_network(self) -> ImageModel:
        """The student."""
        return self.student

    @property
    def keeps_teacher(self) -> bool:
        """Whether the teacher is beside the student from the beginning."""
        return False

    def check_student(self) -> None:
        """Raise if the student, which is loaded now, cannot be trained; a no-op here."""

    def configure_model(self) -> None:
        """Load the networks, once, where the strategy wants them."""
        if "student" in self._modules:
            return
        self.student = self.load_base(self.noise_scale)
        if not self.student.config.needs_text_tokenizer:
            self.text_tokenizer = self.text_tokenizer_id = None
        self.check_student()
        if self.lora is not None:
            add_lora(self.student, self.lora)
        if self.keeps_teacher:
            self._modules["teacher"] = freeze(self.load_base())
        self.image_tokenizer = MAGVITv2.from_pretrained(self.image_tokenizer_id)
        freeze(self.image_tokenizer)
        self.vision_encoder = None
        if self.student.image_input.kind == "clip":
            if self.vision_encoder_id is None:
                self.vision_encoder_id = own_vision_encoder(self.student, self.model_id)
            self.vision_encoder = vision_encoder_of(self.student, self.vision_encoder_id)
            freeze(self.vision_encoder)
        check_geometry(
            self,
            self.student,
            self.image_tokenizer,
            self.text_tokenizer,
            self.vision_encoder,
        )
        if self.text_tokenizer is not None:
            check_own_text_tokenizer(self.model_id, self.text_tokenizer, self.text_tokenizer_id)
        if self.gradient_checkpointing:
            elementwise = self.gradient_checkpointing == "elementwise"
            self.student.gradient_checkpointing_enable(elementwise)
        if self.flex_attention:
            self.student.flex_attention_enable()
        if self.compile_layers:
            compile_layers(self.student)
        for name in ("student", "teacher"):
            if name in self._modules:
                shard(self, cast(ImageModel, self._modules[name]))

    @property
    def teacher(self) -> ImageModel:
        """The network that made the trajectories, frozen.

        It stays beside the student where a consistency target says that it needs it. Otherwise it
        is where its round has saved it; whoever asks for it all the same brings it beside the
        student.
        """
        if "teacher" not in self._modules:
            folder = self._teacher_folder
            network = self.load_base() if folder is None else load_model(folder, self.family)
            self._modules["teacher"] = freeze(network.to(self.device))
            shard(self, network)
        return cast(ImageModel, self._modules["teacher"])

    def has_teacher(self) -> bool:
        """Whether a teacher is beside the student."""
        return "teacher" in self._modules

    def set_teacher_folder(self, folder: Path) -> None:
        """Note where the current teacher is saved."""
        self._teacher_folder = folder

    def load_base(self, noise_scale: float = 0.0) -> ImageModel:
        """The model that training starts from.

        Args:
            noise_scale: Of noise that it does not read yet, see `ImageModel.add_noise`.
        """
        network = load_model(self.model_id, self.family)
        if noise_scale and network.noise_size:
            raise UserError(
                f"noise_scale is {noise_scale}, but {self.model_id} reads noise already; expected "
                "one that reads none, leave noise_scale out"
            )
        if self.noise_size and not network.noise_size:
            network.add_noise(self.noise_size, **({"scale": noise_scale} if noise_scale else {}))
        return network

    @property
    def base(self) -> ImageModel:
        """The model that training started from, frozen; loaded when it is first asked for."""
        if "base" not in self._modules:
            self._modules["base"] = freeze(self.load_base().to(self.device))
        return cast(ImageModel, self._modules["base"])

    def auxiliary(self, rank: int, learning_rate: float) -> Auxiliary:
        """The auxiliary network of distribution matching, made when it is first asked for.

        Args:
            rank: Of its adapters.
            learning_rate: Of their optimizer.

        Raises:
            UserError: If it exists with another rank or rate.
        """
        if self._auxiliary is None:
            self._auxiliary = Auxiliary(self.base, rank, learning_rate)
            if self._auxiliary_state is not None:
                self._auxiliary.load_state_dict(self._auxiliary_state)
        if self._auxiliary.settings != (rank, learning_rate):
            there = "rank {} and learning rate {}".format(*self._auxiliary.settings)
            raise UserError(
                f"two loss terms share one auxiliary network: one asks for {there}, the other for "
                f"rank {rank} and learning rate {learning_rate}; give them the same"
            )
        return self._auxiliary

    def reseed_teacher(self, source: ImageModel | None = None) -> None:
        """Make the teacher equal to `source`, the student by default."""
        self.teacher.load_state_dict(merge_lora((source or self.student).state_dict()))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is needed to export a checkpoint on its own."""
        drop_excluded(self, checkpoint["state_dict"])
        if self._auxiliary is not None:
            checkpoint[AUXILIARY_KEY] = self._auxiliary.state_dict()
        checkpoint[MODEL_CONFIG_KEY] = self.student.config.to_dict()
        checkpoint[TEXT_TOKENIZER_KEY] = self.text_tokenizer_id
        checkpoint[IMAGE_TOKENIZER_KEY] = self.image_tokenizer_id
        checkpoint[VISION_ENCODER_KEY] = self.vision_encoder_id
        note_generation(checkpoint, self.sampling, self.decoding)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the auxiliary network of a checkpoint, if it has one."""
        self._auxiliary_state = checkpoint.get(AUXILIARY_KEY)
        if self._auxiliary is not None and self._auxiliary_state is not None:
            self._auxiliary.load_state_dict(self._auxiliary_state)
