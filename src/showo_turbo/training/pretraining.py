"""What the pretraining of all families shares: three streams of samples, and validation."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from ..errors import UserError
from ..evaluation.data import EvaluationData
from ..evaluation.plan import EvaluationPlan
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
from ..models.magvitv2 import MAGVITv2
from ..models.masked_text import MaskedTextModel
from ..models.protocols import TextModel
from ..models.vision_encoders import CLIPFeatures
from ..sampling.image_sampling import ImageSampling
from ..sampling.options import check_not_negative
from ..sampling.text_decoding import TextDecoding
from ..text_tokenizer import TextTokenizer
from ..trajectories.checker import PromptMetadata
from ..utils.lightning_internals import trainer_of
from .arguments import note_arguments
from .clipping import clip_gradients
from .frozen import exclude_from_checkpoints, freeze
from .geometry import check_asked_images, check_geometry
from .masking import mask_codes
from .measured import MeasuredModule
from .optimization import optimizer_and_schedule
from .precision import check_trainable


class Pretraining(MeasuredModule):
    """Train a model of one family from scratch or onwards from a checkpoint.

    Three streams, each optional in a batch: `image` (image and caption: predict the masked image
    tokens), `text` (image, question and answer) and `language` (text). A share of the captions is
    dropped, which teaches the unconditional image that guidance needs. Captions that are longer
    than a prompt may be are left out and counted.

    Logged in training: `train/loss`, `train/image`, `train/text`, `train/language` and, once there
    are any, `train/captions_left_out`, their number so far. In validation the figures of the
    evaluation, such as `val/validation/score/16_steps_guidance_1`: within `fit` of images that are
    sampled as `sampling` says, where the evaluation has a checker or metrics, and of the answers.

    Args:
        initial_weights: Model to start from instead: `shapes`, a folder or a hub id.
        image_tokenizer: Frozen image tokenizer: `shapes`, a folder or a hub id.
        text_tokenizer: Text tokenizer: `shapes`, a folder, a file or a hub id.
        image_weight: Weight of the masked image token loss.
        text_weight: Weight of the answer loss.
        language_weight: Weight of the plain text loss.
        caption_dropout: Share of captions replaced by the empty prompt.
        max_language_length: Longest piece of plain text in tokens.
        sampling: How validation images are sampled.
        decoding: How validation answers are written.
        evaluation: What validation measures.
        gradient_checkpointing: Recompute activations in the backward pass to save memory.
        optimizer: Makes the optimizer.
        lr_scheduler: Makes the learning rate schedule, stepped once an optimizer step.

    Attributes:
        family: Name of the option of the family's sizes.
    """

    family: ClassVar[str]
    text_tokenizer: TextTokenizer

    def __init__(
        self,
        initial_weights: str | None = None,
        image_tokenizer: str = "shapes",
        text_tokenizer: str = "shapes",
        image_weight: float = 1.0,
        text_weight: float = 1.0,
        language_weight: float = 0.1,
        caption_dropout: float = 0.1,
        max_language_length: int = 64,
        sampling: ImageSampling = ImageSampling(),
        decoding: TextDecoding = TextDecoding(method="autoregressive"),
        evaluation: EvaluationPlan = EvaluationPlan(),
        gradient_checkpointing: bool = False,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(sampling, sampling, decoding, evaluation)
        self.initial_weights = initial_weights
        self.image_tokenizer_id = image_tokenizer
        self.text_tokenizer_id = text_tokenizer
        self.vision_encoder_id: str | None = None
        self.text_tokenizer = TextTokenizer.from_pretrained(text_tokenizer)
        check_not_negative(
            image_weight=image_weight, text_weight=text_weight, language_weight=language_weight
        )
        if not 0 <= caption_dropout <= 1:
            raise UserError(
                f"caption_dropout is {caption_dropout}; expected a share, set it to 0..1"
            )
        if max_language_length < 2:
            raise UserError(
                f"max_language_length is {max_language_length}; expected at least 2, set it so"
            )
        self.weights = {"image": image_weight, "text": text_weight, "language": language_weight}
        self.caption_dropout = caption_dropout
        self.max_language_length = max_language_length
        self.gradient_checkpointing = gradient_checkpointing
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.left_out: dict[str, int] = {}
        self.model: TextModel | None = None
        self.image_tokenizer: MAGVITv2 | None = None
        self.vision_encoder: CLIPFeatures | None = None
        exclude_from_checkpoints(self, "image_tokenizer")
        exclude_from_checkpoints(self, "vision_encoder")

    @abstractmethod
    def load_network(self, model: str) -> TextModel:
        """The network of a model."""

    @abstractmethod
    def new_network(self, image_tokenizer: MAGVITv2) -> TextModel:
        """A network with random weights.

        Args:
            image_tokenizer: Its image tokenizer.
        """

    @abstractmethod
    def sizes_of(self) -> dict[str, Any]:
        """All sizes of the network, as plain values of the option `family`."""

    def setup(self, stage: str) -> None:
        """Look at the precision before anything is trained."""
        if stage == "fit":
            check_trainable(self.trainer)

    def configure_model(self) -> None:
        """Build or load the networks, once."""
        if self.model is not None:
            return
        self.image_tokenizer = MAGVITv2.from_pretrained(self.image_tokenizer_id)
        freeze(self.image_tokenizer)
        if self.initial_weights is not None:
            self.model = self.load_network(self.initial_weights)
        else:
            self.model = self.new_network(self.image_tokenizer)
        if self.model.image_input.kind == "clip":
            if self.initial_weights is not None:
                self.vision_encoder_id = own_vision_encoder(self.model, self.initial_weights)
            self.vision_encoder = vision_encoder_of(self.model, self.vision_encoder_id)
            freeze(self.vision_encoder)
        check_geometry(self, self.model, self.image_tokenizer, self.text_tokenizer)
        if self.initial_weights is not None:
            check_own_text_tokenizer(
                self.initial_weights, self.text_tokenizer, self.text_tokenizer_id
            )
        if self.vision_encoder is not None:
            data = getattr(trainer_of(self), "datamodule", None)
            resolution = getattr(data, "question_resolution", None)
            check_asked_images("question_resolution", resolution, self.vision_encoder)
        if self.gradient_checkpointing:
            self.model.gradient_checkpointing_enable()
        config = self.model.config
        self.sampling.check(config)
        self.check_answers(self.model)

    def training_step(self, batch: dict[str, dict[str, Any]], batch_index: int) -> Tensor:
        """Return the weighted sum of the losses of the streams that the batch holds."""
        losses: dict[str, Tensor] = {}
        for name, stream in batch.items():
            losses |= self.losses_of(name, stream)
        loss = torch.stack([self.weights[name] * value for name, value in losses.items()]).sum()
        self.log_dict({f"train/{name}": value for name, value in losses.items()}, batch_size=1)
        self.log("train/loss", loss, prog_bar=True, batch_size=1)
        return loss

    def losses_of(self, name: str, stream: dict[str, Any]) -> dict[str, Tensor]:
        """The losses of one stream of a batch, by the names of their weights.

        Raises:
            UserError: If models of this family are not trained on such a stream.
        """
        steps = {
            "image": self._image_loss,
            "text": self._text_loss,
            "language": self._language_loss,
        }
        if name not in steps:
            raise UserError(
                f"{type(self).__name__} is not trained on the stream {name}; expected "
                f"{', '.join(steps)}, set batch_sizes.{name} to 0"
            )
        return {name: steps[name](stream)}

    def _image_loss(self, stream: dict[str, Any]) -> Tensor:
        model = self._network()
        prompts = self._encode_captions(stream["caption"], stream["seed"])
        seeds = [stream["seed"][place] for place in prompts]
        codes = self._encode_images(stream["pixels"][list(prompts)])
        masked = self._masked(codes, seeds)
        hidden = masked == model.mask_code
        logits = self._masked_logits(list(prompts.values()), masked, hidden)
        return F.cross_entropy(logits.float(), codes[hidden])

    def _masked(self, codes: Tensor, seeds: Sequence[int]) -> Tensor:
        """The codes with a share of each image's masked, at least one."""
        return mask_codes(codes, self._network().mask_code, seeds)

    def _masked_logits(
        self, prompts: Sequence[Sequence[int]], codes: Tensor, masked: Tensor
    ) -> Tensor:
        """Predict the masked image tokens, `(masked tokens, codebook)`."""
        return self._network().image_logits(prompts, codes)[masked]

    @abstractmethod
    def _text_loss(self, stream: dict[str, Any]) -> Tensor:
        """The loss of answers about images."""

    @abstractmethod
    def _language_loss(self, stream: dict[str, Any]) -> Tensor:
        """The loss of plain texts."""

    def _encode_captions(
        self, captions: Sequence[str], seeds: Sequence[int]
    ) -> dict[int, list[int]]:
        """Text ids by the caption's place; a share is dropped, and what is too long left out."""
        longest = self._network().longest_prompt
        prompts = {}
        for place, (caption, seed) in enumerate(zip(captions, seeds, strict=True)):
            dropped = self._drops(seed)
            ids = [] if dropped else self.text_tokenizer.encode(caption)
            if len(ids) <= longest:
                prompts[place] = ids
        if left_out := len(captions) - len(prompts):
            self._leave_out(
                "captions",
                left_out,
                len(captions),
                f"more than {longest} tokens, the longest prompt of this model",
                f"give shorter ones or raise {self.family}.max_text_length",
            )
        return prompts

    def _drops(self, seed: int) -> bool:
        """Whether a sample's text is dropped, which teaches the unconditional image."""
        return seed % 10_000 < self.caption_dropout * 10_000

    def _leave_out(self, kind: str, count: int, of: int, fault: str, remedy: str) -> None:
        """Count samples that are left out of a batch, and say so the first time.

        Args:
            kind: What they are, in the plural.
            count: How many are left out.
            of: How many the batch has.
            fault: What is wrong with those that are left out.
            remedy: What to do if all are.

        Raises:
            UserError: If none of the batch is left.
        """
        if count == of:
            raise UserError(f"all {of} {kind} of a batch have {fault}; {remedy}")
        name = f"train/{kind}_left_out"
        if kind not in self.left_out:
            rank_zero_info(
                f"left out {count} of {of} {kind} of a batch, which have {fault}; the number so "
                f"far is logged as {name}"
            )
        self.left_out[kind] = self.left_out.get(kind, 0) + count
        self.log(name, float(self.left_out[kind]))

    def _encode_questions(self, questions: Sequence[str]) -> list[list[int]]:
        model = self._network()
        return [model.encode_question(self.text_tokenizer, question) for question in questions]

    def _network(self) -> TextModel:
        assert self.model is not None  # from configure_model on
        return self.model

    @torch.no_grad()
    def _encode_images(self, pixels: Tensor) -> Tensor:
        assert self.image_tokenizer is not None
        codes, tokens = self.image_tokenizer.encode(pixels), self._network().config.image_tokens
        if codes.shape[1] != tokens:
            raise UserError(
                f"images of shape {tuple(pixels.shape[1:])} have {codes.shape[1]} tokens, those of "
                f"the model {tokens}; set the resolution, or the frames of clips, that it generates"
            )
        return codes

    def _encode_asked_images(self, pixels: Tensor) -> Tensor:
        """Images as the model is given them when it is asked about them."""
        return self.image_encoder.encode(pixels)

    @property
    def measured_network(self) -> TextModel:
        """The network that is trained."""
        return self._network()

    def plan_of_fit(self) -> EvaluationPlan:
        """Images as `sampling` says, judged by the checker and the metrics, and answers."""
        return replace(
            self.evaluation.during_fit(),
            sampling_steps=(self.sampling.sampling_steps,),
            guidance_scales=(self.sampling.guidance_scale,),
            drivers=(),
            timed_texts=0,
        )

    def asked(self, data: EvaluationData) -> EvaluationData:
        """What of the data the model is asked: all but prompts that are too long."""
        model = self._network()

        def fits(entry: PromptMetadata) -> bool:
            ids = model.encode_prompt(self.text_tokenizer, str(entry["prompt"]))
            return len(ids) <= model.longest_prompt

        fitting = data.with_prompts(fits)
        counts = [sum(map(len, part.prompts.values())) for part in (data, fitting)]
        if left_out := counts[0] - counts[1]:
            rank_zero_info(
                f"left out {left_out} of {counts[0]} prompts, which have more than "
                f"{model.longest_prompt} tokens, the longest prompt of this model"
            )
        return fitting

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is needed to export a checkpoint on its own."""
        checkpoint[MODEL_CONFIG_KEY] = self._network().config.to_dict()
        checkpoint[TEXT_TOKENIZER_KEY] = self.text_tokenizer_id
        checkpoint[IMAGE_TOKENIZER_KEY] = self.image_tokenizer_id
        checkpoint[VISION_ENCODER_KEY] = self.vision_encoder_id
        # Denoised answers are best as long as they were in training; others may have any length.
        denoised = isinstance(self.model, MaskedTextModel)
        note_generation(checkpoint, self.sampling, self.decoding if denoised else None)
        note_arguments(
            self,
            checkpoint,
            **{self.family: self.sizes_of()},
            image_tokenizer=self.image_tokenizer_id,
            text_tokenizer=self.text_tokenizer_id,
        )

    configure_gradient_clipping = clip_gradients

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer over the trainable parameters, and the schedule if there is one."""
        return optimizer_and_schedule(self, self.optimizer, self.lr_scheduler)
