"""Consistency distillation of Show-o: the LightningModule."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.optim import Optimizer

from ..errors import UserError
from ..losses.consistency import image_consistency, text_consistency
from ..losses.language_model import language_model_loss
from ..losses.reduction import LossValue
from ..losses.regularizers import image_regularizer, text_regularizer
from ..models.checkpoints import SHOWO_CONFIG_KEY, TEXT_TOKENIZER_KEY
from ..models.lora import merge_lora
from ..models.magvitv2 import MAGVITv2
from ..models.showo import Showo
from ..prompting import UnifiedPrompting
from ..sampling.image_sampling import ImageSampling
from ..sampling.options import check_not_negative
from ..sampling.text_decoding import TextDecoding
from ..text_tokenizer import TextTokenizer
from ..trajectories.batch import ImageBatch, TextBatch
from .averaging import average_of
from .evaluation import EvaluationGrid
from .forwards import block_logits, image_logits
from .frozen import drop_excluded, exclude_from_checkpoints, freeze
from .geometry import check_geometry
from .lora import LoRAOptions, add_lora, seed_step
from .measured_student import MeasuredStudent
from .optimization import optimizer_and_schedule
from .ranks import global_means

ConsistencyTarget = Literal["student", "teacher", "ema"]


@dataclass(frozen=True)
class LossWeights:
    """Weights of the five loss terms; the defaults are the published ones at 256 px.

    Args:
        image_consistency: From any step of a segment, predict what is predicted at its last.
        image_regularizer: Stay close to the teacher's guided distributions.
        text_consistency: From any Jacobi iterate, predict what is predicted at the segment's end.
        text_regularizer: Next-token prediction of the teacher's answers.
        language: Next-token prediction of plain text.
    """

    image_consistency: float = 0.05
    image_regularizer: float = 1.0
    text_consistency: float = 0.5
    text_regularizer: float = 5.0
    language: float = 0.1

    def __post_init__(self) -> None:
        check_not_negative(**asdict(self))
        if not any(asdict(self).values()):
            raise UserError("all weights are 0; expected one above 0, set it")


class ShowoTurbo(MeasuredStudent):
    """A student that learns to jump along its teacher's sampling trajectories.

    The student is trained; the teacher is frozen, collects the trajectories (see the `Curriculum`
    callback) and is replaced by the student when a stage begins. Only the student is in the
    checkpoints. A batch may hold the streams `image` (image trajectories), `text` (blocks of
    Jacobi trajectories) and `language` (plain text), see `DistillationDataModule`.

    Logged in training: `train/loss`, each term `train/<term>` unweighted, and the first four by
    segment as `train/<term>/segment_<s>`. On several devices each term is the mean over the samples
    of all of them, in training and in the logs, so that their number changes neither; only the
    values by segment are those of the first device. In validation: scores by sampling steps, see
    `EvaluationGrid`.

    Args:
        student: Model to distill: `shapes`, a folder or a hub id such as `showlab/show-o-512x512`.
        image_tokenizer: Image tokenizer: `shapes`, a folder or a hub id such as
            `showlab/magvitv2`.
        text_tokenizer: Text tokenizer: `shapes`, a folder or a hub id such as `microsoft/phi-1_5`.
        weights: Weights of the loss terms. A term with weight 0 is not computed, nor is the
            student asked for a stream whose terms all have weight 0.
        consistency_target: Whose prediction at the segment's end is the target: the `student`'s
            own (the published choice), the `teacher`'s, or that of the moving average of the
            student (`ema`) that Lightning's `EMAWeightAveraging` keeps, listed under
            `trainer.callbacks`.
        max_language_length: Longest piece of plain text in tokens.
        lora: Train low-rank adapters instead of all weights. They are in the checkpoints as they
            are, and merged where the student is exported or becomes the teacher. With dropout,
            PyTorch's generators are seeded anew before every training step, from `seed_everything`
            and the step, so that a resumed run drops the same as one that was never stopped.
        gradient_checkpointing: Recompute activations in the backward pass to save memory.
        sampling: How the student is sampled: in validation, prediction, pictures and reports, and
            by whoever loads the exported student.
        teacher_sampling: How the teacher is sampled when its trajectories are collected, and where
            it is measured; a stage of the curriculum may change parts of it.
        decoding: How texts are decoded, with the longest answer and the size of blocks of the
            collected ones, too.
        evaluation: What validation measures.
        optimizer: Makes the optimizer.
        lr_scheduler: Makes the learning rate schedule, stepped once an optimizer step; constant
            without one. Give it its horizon in the YAML.

    Source: Show-o Turbo (arXiv 2502.05415).
    """

    def __init__(
        self,
        student: str = "shapes",
        image_tokenizer: str = "shapes",
        text_tokenizer: str = "shapes",
        weights: LossWeights = LossWeights(),
        consistency_target: ConsistencyTarget = "student",
        max_language_length: int = 512,
        lora: LoRAOptions | None = None,
        gradient_checkpointing: bool = False,
        sampling: ImageSampling = ImageSampling(sampling_steps=4),
        teacher_sampling: ImageSampling = ImageSampling(),
        decoding: TextDecoding = TextDecoding(),
        evaluation: EvaluationGrid = EvaluationGrid(),
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(sampling, teacher_sampling, decoding, evaluation)
        self.model_id = student
        self.image_tokenizer_id = image_tokenizer
        self.text_tokenizer_id = text_tokenizer
        self.text_tokenizer = TextTokenizer.from_pretrained(text_tokenizer)
        self.weights = weights
        self.consistency_target = consistency_target
        self.max_language_length = max_language_length
        self.lora = lora
        self.gradient_checkpointing = gradient_checkpointing
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.teacher: Showo
        if max_language_length < 2:
            raise UserError(
                f"max_language_length is {max_language_length}; expected at least 2, set it so"
            )
        exclude_from_checkpoints(self, "teacher")
        exclude_from_checkpoints(self, "image_tokenizer")

    def configure_model(self) -> None:
        """Load the networks, once, where the strategy wants them."""
        if "student" in self._modules:
            return
        self.student = Showo.from_pretrained(self.model_id)
        if self.lora is not None:
            add_lora(self.student, self.lora)
        self.teacher = Showo.from_pretrained(self.model_id)
        freeze(self.teacher)
        self.image_tokenizer = MAGVITv2.from_pretrained(self.image_tokenizer_id)
        freeze(self.image_tokenizer)
        check_geometry(self, self.student, self.image_tokenizer, self.text_tokenizer)
        config = self.student.config
        self.prompting = UnifiedPrompting(config.vocabulary, config.max_text_length)
        if self.gradient_checkpointing:
            self.student.gradient_checkpointing_enable()

    def setup(self, stage: str) -> None:
        """Look for the average, where it is wanted, and for losses before anything is collected."""
        if stage != "fit":
            return
        if self.consistency_target == "ema":
            average_of(self.trainer)
        streams = getattr(getattr(self.trainer, "datamodule", None), "batch_sizes", None)
        if isinstance(streams, Mapping) and not any(map(self._is_trained_on, streams)):
            raise UserError(
                f"all weights of the loss terms of {', '.join(streams)} are 0, and there is no "
                "other stream; expected one above 0, set it, or a batch size of another stream"
            )

    def on_train_start(self) -> None:
        """Bring the average, where it is wanted, to the student."""
        if self.consistency_target == "ema":
            average_of(self.trainer).to(self.device)

    def training_step(self, batch: Mapping[str, Any], batch_index: int) -> Tensor:
        """Return the weighted sum of the loss terms of the streams that the batch holds."""
        if self.lora is not None and self.lora.dropout > 0:
            seed_step(self.global_step, batch_index, self.global_rank)
        terms = self.loss_terms(batch)
        if not terms:
            raise UserError(
                f"all weights of the loss terms of the batch's streams ({', '.join(batch)}) are 0; "
                "expected one above 0, set it"
            )
        own, overall = global_means(terms, tuple(asdict(self.weights)))
        for name, mean in overall.items():
            self.log(f"train/{name}", mean, batch_size=1)
        self.log("train/loss", self.weighted_sum(overall), prog_bar=True, batch_size=1)
        for stream in ("image", "text"):
            of_stream = {name: terms[name] for name in terms if name.startswith(stream)}
            if of_stream:
                self._log_segments(of_stream, batch[stream].segment)
        return self.weighted_sum(own)

    def loss_terms(self, batch: Mapping[str, Any]) -> dict[str, LossValue]:
        """Return the loss terms, unweighted, of the streams that the batch holds."""
        terms: dict[str, LossValue] = {}
        if "image" in batch and self._is_trained_on("image"):
            terms |= self._image_terms(batch["image"])
        if "text" in batch and self._is_trained_on("text"):
            terms |= self._text_terms(batch["text"])
        if "language" in batch and self._is_trained_on("language"):
            terms["language"] = self._language_term(batch["language"]["text"])
        return terms

    def weighted_sum(self, means: Mapping[str, Tensor]) -> Tensor:
        """Return the loss that these means of the terms make."""
        weights = asdict(self.weights)
        return torch.stack([weights[name] * mean for name, mean in means.items()]).sum()

    def _is_trained_on(self, stream: str) -> bool:
        """Whether a term of the stream has a weight."""
        return any(value for name, value in asdict(self.weights).items() if name.startswith(stream))

    def _image_terms(self, batch: ImageBatch) -> dict[str, LossValue]:
        terms = {}
        logits = image_logits(self.student, self.prompting, batch.prompt_ids, batch.state_k)
        if self.weights.image_consistency > 0:
            with torch.no_grad():
                target = image_logits(
                    self.target, self.prompting, batch.prompt_ids, batch.state_before_end
                )
            terms["image_consistency"] = image_consistency(target, logits, batch.masked_before_end)
        if self.weights.image_regularizer > 0:
            terms["image_regularizer"] = image_regularizer(
                logits, batch.masked_k, batch.q_log_probs, batch.q_ids
            )
        return terms

    def _text_terms(self, batch: TextBatch) -> dict[str, LossValue]:
        terms = {}
        versions = [batch.tokens_k, batch.fixed_point]
        if self.target is self.student:  # Rides along; the loss lets no gradient into it.
            versions.append(batch.tokens_e)
        logits_k, logits_fixed, *target = block_logits(
            self.student, self.prompting, batch, versions
        )
        if self.weights.text_consistency > 0:
            if not target:
                with torch.no_grad():
                    target = block_logits(self.target, self.prompting, batch, [batch.tokens_e])
            terms["text_consistency"] = text_consistency(target[0], logits_k, batch.differs)
        if self.weights.text_regularizer > 0:
            terms["text_regularizer"] = text_regularizer(
                logits_fixed, batch.fixed_point, batch.valid
            )
        return terms

    def _language_term(self, texts: list[str]) -> LossValue:
        ids = [self.text_tokenizer.encode(text) for text in texts]
        batch = self.prompting.language(ids, self.max_language_length, self.device)
        hidden = self.student.hidden_states(batch.input_ids, batch.attention_mask)
        rows = self.student.vocabulary.text_rows
        return language_model_loss(self.student.logits(hidden, rows), batch.labels)

    @property
    def target(self) -> Showo:
        """The network whose prediction at a segment's end is the consistency target."""
        if self.consistency_target == "teacher":
            return self.teacher
        if self.consistency_target == "ema":
            return cast(Showo, average_of(self.trainer).get_submodule("student"))
        return self.student

    def _log_segments(self, terms: Mapping[str, LossValue], segment: Tensor) -> None:
        """Log the means of a stream's terms by segment, over the samples of this process."""
        for name, value in terms.items():
            counted = value.counted > 0
            for index in segment[counted].unique().tolist():
                chosen = value.per_sample.detach()[counted & (segment == index)]
                key = f"train/{name}/segment_{index}"
                self.log(key, chosen.mean(), batch_size=len(chosen))

    def reseed_teacher(self, source: Showo | None = None) -> None:
        """Make the teacher equal to `source`, the student by default."""
        self.teacher.load_state_dict(merge_lora((source or self.student).state_dict()))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what it takes to export a checkpoint on its own."""
        drop_excluded(self, checkpoint["state_dict"])
        checkpoint[SHOWO_CONFIG_KEY] = self.student.config.to_dict()
        checkpoint[TEXT_TOKENIZER_KEY] = self.text_tokenizer_id

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the norm over all shards, which Lightning leaves to the module under FSDP."""
        network = self.trainer.strategy.model
        sharded = isinstance(network, FullyShardedDataParallel)
        if sharded and gradient_clip_val and gradient_clip_algorithm != "value":
            cast(FullyShardedDataParallel, network).clip_grad_norm_(gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer over the student, and the schedule if there is one."""
        return optimizer_and_schedule(self.student, self.optimizer, self.lr_scheduler)
