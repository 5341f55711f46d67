"""Consistency distillation of Show-o: the LightningModule."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import LRSchedulerTypeUnion, OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer

from ..errors import UserError, check_kind
from ..evaluation.plan import EvaluationPlan
from ..losses.distribution_matching import DistributionMatching
from ..losses.reduction import LossValue
from ..losses.term import LossTerm, check_weight
from ..losses.terms import published_losses
from ..models.registry import text_model
from ..sampling.image_sampling import ImageSampling
from ..sampling.text_decoding import TextDecoding
from ..targets import ConsistencyTarget, StudentTarget
from ..utils.lightning_internals import trainer_of
from .arguments import note_arguments
from .averages import (
    check_averages,
    follow_until_begun,
    warn_of_averages_that_never_began,
)
from .clipping import clip_gradients
from .compiling import prepare_flex_attention
from .inputs import stream_of
from .lora import LoRAOptions, seed_step
from .loss_checks import check_losses, check_text_terms
from .networks import DistillationNetworks
from .optimization import optimizer_and_schedule
from .ranks import global_means
from .stream_backward import (
    backward_now,
    backward_order,
    begin_step,
    check_stream_backward,
)


class ShowoTurbo(DistillationNetworks):
    """A student that learns to jump along its teacher's sampling trajectories.

    The student is trained; the teacher is frozen, collects the trajectories (see the `Curriculum`
    callback) and is replaced by the student when a stage begins. Only the student is in the
    checkpoints. A batch may hold the streams `image` (image trajectories), `text` (Jacobi
    trajectories of answers, or how they were denoised) and `language` (plain text), see
    `DistillationDataModule`.

    Logged in training: `train/loss`, each term `train/<term>` unweighted, and those on image and
    text by segment as `train/<term>/segment_<s>`. On several devices each term is the mean over
    the samples of all of them, in training and in the logs, so that their number changes neither;
    only the values by segment are those of the first device. In validation: scores by sampling
    steps, see `EvaluationPlan`.

    Args:
        student: Model to distill: `shapes`, a folder or a hub id such as `showlab/show-o-512x512`.
        image_tokenizer: Image tokenizer: `shapes`, a folder or a hub id such as
            `showlab/magvitv2`.
        text_tokenizer: Text tokenizer: `shapes`, a folder or a hub id such as `microsoft/phi-1_5`;
            unused by a family that needs none.
        vision_encoder: Vision encoder of a student that reads images through one: a folder or a hub
            id; by default the one in the student's folder, or what its `config.json` names.
        family: Class of the student, a model family of your own by its import path, such as
            `my_module.MyModel`; see `ImageModel`.
        noise_size: Numbers of noise that the student reads for each image and each of its masked
            tokens, so that its images of a prompt differ by their seeds even where it takes the
            likeliest tokens; 0 for none, or for what the model has. At first without an effect.
        noise_scale: Of noise that is to have an effect at first: the standard deviation that it
            adds to the embeddings of masked tokens, as a share of theirs. Di[M]O takes 0.1 to 0.3.
        losses: The terms of the loss by name, each a `LossTerm`; by default those of the paper with
            the weights published for 256 px (`published_losses`). What no term with a weight asks
            for is not computed. A term of your own is a subclass of `LossTerm`.
        consistency_target: Whose prediction at the segment's end is the target: `StudentTarget`
            (the published choice, and the default), `TeacherTarget`, `AverageTarget`, the moving
            average of the student that Lightning's `EMAWeightAveraging` keeps, listed under
            `trainer.callbacks`; or a `ConsistencyTarget` of your own.
        max_language_length: Longest piece of plain text in tokens.
        lora: Train low-rank adapters instead of all weights. They are in the checkpoints as they
            are, and merged where the student is exported or becomes the teacher. With dropout,
            PyTorch's generators are seeded again before every training step, from `seed_everything`
            and the step, so that a resumed run drops the same as one that was never stopped.
        gradient_checkpointing: Recompute activations in the backward pass to save memory: layers as
            a whole; or, with `elementwise`, all but their matrix products and attention, which
            saves about half and costs hardly any time. Gradients are the same.
        backward_by_stream: Take the backward pass of each stream before the next one's forward
            pass, so that only one of them holds activations. Gradients are the same but for the
            order in which they are summed. On one device, under DDP or `FullySharded`.
        compile_layers: Compile the layers of the student, for accelerators: fewer kernels and less
            memory for what is between matrix products. Lengths may vary; the first steps take
            minutes.
        flex_attention: Train with PyTorch's FlexAttention, on GPUs: it leaves out tiles that the
            mask hides. Best with `compile_layers`.
        sampling: How the student is sampled: in validation, prediction, sample grids and reports,
            and by whoever loads the exported student.
        teacher_sampling: How the teacher is sampled when its trajectories are collected, and where
            it is measured; a stage of the curriculum may change parts of it.
        decoding: How texts are decoded, with the longest answer and the size of blocks of the
            collected ones, too.
        teacher_decoding: How the teacher answers when its trajectories are collected, where that is
            another way: block diffusion in more steps, above all. A stage of the curriculum may
            change parts of it.
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
        text_tokenizer: str | None = "shapes",
        vision_encoder: str | None = None,
        family: str | None = None,
        noise_size: int = 0,
        noise_scale: float = 0.0,
        losses: dict[str, LossTerm] | None = None,
        consistency_target: ConsistencyTarget | None = None,
        max_language_length: int = 512,
        lora: LoRAOptions | None = None,
        gradient_checkpointing: bool | Literal["elementwise"] = False,
        backward_by_stream: bool = False,
        compile_layers: bool = False,
        flex_attention: bool = False,
        sampling: ImageSampling = ImageSampling(sampling_steps=4),
        teacher_sampling: ImageSampling = ImageSampling(),
        decoding: TextDecoding = TextDecoding(),
        teacher_decoding: TextDecoding | None = None,
        evaluation: EvaluationPlan = EvaluationPlan(),
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        if max_language_length < 2:
            raise UserError(
                f"max_language_length is {max_language_length}; expected at least 2, set it so"
            )
        losses = published_losses() if losses is None else losses
        check_losses(losses)
        consistency_target = consistency_target or StudentTarget()
        check_kind(consistency_target, ConsistencyTarget, "consistency_target")
        super().__init__(
            student,
            image_tokenizer,
            text_tokenizer,
            vision_encoder,
            family,
            noise_size,
            noise_scale,
            lora,
            gradient_checkpointing,
            compile_layers,
            flex_attention,
            sampling=sampling,
            teacher_sampling=teacher_sampling,
            decoding=decoding,
            teacher_decoding=teacher_decoding,
            evaluation=evaluation,
        )
        self.teacher_decoding = teacher_decoding or decoding
        self.losses = losses
        self.consistency_target = consistency_target
        self._weights_before_stage: dict[str, float] = {}
        self._target_before_stage: ConsistencyTarget | None = None
        self._stage_needs_teacher = False
        self.max_language_length = max_language_length
        self.backward_by_stream = backward_by_stream
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler

    @property
    def keeps_teacher(self) -> bool:
        """Whether a consistency target needs the teacher in every step."""
        return self.consistency_target.needs_teacher or self._stage_needs_teacher

    def check_student(self) -> None:
        """Raise if the student, which is loaded now, cannot be trained so."""
        streams = self._streams()
        for stream in ("text", "language"):
            if stream in streams and self._is_trained_on(stream):
                text_model(self.student, f"the stream {stream}")
        self.check_answers(self.student)
        terms = {name: term for name, term in self.losses.items() if term.stream in streams}
        check_text_terms(terms, self.student)

    def setup(self, stage: str) -> None:
        """Look for what target and terms need, and for losses, before anything is collected."""
        if stage != "fit":
            return
        check_averages(self.trainer)
        if self.backward_by_stream:
            check_stream_backward(self.trainer)
        if self.flex_attention:
            prepare_flex_attention(self.trainer.strategy.root_device)
        self.consistency_target.setup(self)
        for term in self.losses.values():
            if term.needs_base:
                self.base  # noqa: B018 - loaded now
            if isinstance(term, DistributionMatching):
                self.auxiliary(term.auxiliary_rank, term.auxiliary_learning_rate)
        streams = self._streams()
        if streams and not any(map(self._is_trained_on, streams)):
            raise UserError(
                f"all weights of the loss terms of {', '.join(streams)} are 0, and there is no "
                "other stream; expected one above 0, set it, or a batch size of another stream"
            )

    def check_stage(
        self, loss_weights: Mapping[str, float], consistency_target: ConsistencyTarget | None
    ) -> None:
        """Raise on what `set_stage` cannot do, before anything is collected.

        Raises:
            UserError: If there is no term of a name, a weight is negative, or the target lacks
                what it needs.
        """
        for name, weight in loss_weights.items():
            if name not in self.losses:
                raise UserError(
                    f"loss_weights of a stage names {name}; expected one of "
                    f"{', '.join(self.losses)}, the terms in the module's losses"
                )
            check_weight(name, weight)
        if consistency_target is not None:
            consistency_target.setup(self)
            self._stage_needs_teacher |= consistency_target.needs_teacher

    def set_stage(
        self, loss_weights: Mapping[str, float], consistency_target: ConsistencyTarget | None
    ) -> None:
        """Train as a stage of the curriculum says.

        Args:
            loss_weights: Weights of terms by name; others have those of the module.
            consistency_target: In place of the module's, if given.
        """
        for name, weight in self._weights_before_stage.items():
            self.losses[name].weight = weight
        self.consistency_target = self._target_before_stage or self.consistency_target
        self._weights_before_stage = {name: self.losses[name].weight for name in loss_weights}
        self._target_before_stage = self.consistency_target if consistency_target else None
        for name, weight in loss_weights.items():
            self.losses[name].weight = weight
        self.consistency_target = consistency_target or self.consistency_target
        if self.trainer.training:
            self.consistency_target.on_train_start(self)

    def _streams(self) -> Mapping[str, Any]:
        """The streams of the training data, as far as they are known."""
        data = getattr(trainer_of(self), "datamodule", None)
        streams = getattr(data, "batch_sizes", None)
        return streams if isinstance(streams, Mapping) else {}

    def on_train_start(self) -> None:
        """Bring what the target needs to the student's device."""
        self.consistency_target.on_train_start(self)

    def on_validation_start(self) -> None:
        """Have the student validated where an average of it has not begun."""
        if self.trainer.state.fn == "fit":
            follow_until_begun(self.trainer, self, "student")

    def on_train_epoch_end(self) -> None:
        """Likewise where training may end."""
        follow_until_begun(self.trainer, self, "student")

    def on_fit_end(self) -> None:
        """Say where an average never began."""
        warn_of_averages_that_never_began(self.trainer)

    def training_step(self, batch: Mapping[str, Any], batch_index: int) -> Tensor:
        """Return the weighted sum of the loss terms of the streams that the batch holds."""
        if self.lora is not None and self.lora.dropout > 0:
            seed_step(self.global_step, batch_index, self.global_rank)
        streams = list(dict.fromkeys(term.stream for term in self.losses.values()))
        present = [name for name in streams if name in batch and self._is_trained_on(name)]
        if not present:
            raise UserError(
                f"all weights of the loss terms of the batch's streams ({', '.join(batch)}) are 0; "
                "expected one above 0, set it"
            )
        if self.backward_by_stream:
            begin_step(self, batch_index)
        overall: dict[str, Tensor] = {}
        by_segment: list[tuple[str, Tensor, Tensor]] = []
        earlier: list[Tensor] = []
        if self.backward_by_stream:
            streams = backward_order(streams)
            present = [name for name in streams if name in present]
        # All processes go through all streams, since they exchange the means of each.
        for group in [[name] for name in streams] if self.backward_by_stream else [streams]:
            chosen = {name: batch[name] for name in batch if name in group}
            own, means, segments = self._means(chosen)
            overall |= means
            by_segment += segments
            if present[-1] in group:
                loss = self.weighted_sum(own)
            elif own:
                earlier.append(self.weighted_sum(own))
                backward_now(self, earlier[-1])
        for name, mean in overall.items():
            self.log(f"train/{name}", mean, batch_size=1)
        self.log("train/loss", self.weighted_sum(overall), prog_bar=True, batch_size=1)
        for name, per_sample, segment in by_segment:
            self._log_segments(name, per_sample, segment)
        return sum((value.detach() for value in earlier), start=loss)

    def _means(
        self, batch: Mapping[str, Any]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], list[tuple[str, Tensor, Tensor]]]:
        """The terms of some streams: this process's share, the joint mean, values by segment."""
        inputs = self._inputs(batch)
        terms = self._compute(inputs)
        own, overall = global_means(terms, tuple(self.losses), self.device)
        segments = []
        for name, value in terms.items():
            segment = getattr(inputs[self.losses[name].stream], "segment", None)
            if segment is not None:
                counted = value.counted > 0
                segments.append((name, value.per_sample.detach()[counted], segment[counted]))
        return own, overall, segments

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Forget the gradients, unless the step has begun with that."""
        if not self.backward_by_stream:
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    def loss_terms(self, batch: Mapping[str, Any]) -> dict[str, LossValue]:
        """Return the loss terms, unweighted, of the streams that the batch holds."""
        return self._compute(self._inputs(batch))

    def _inputs(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """What the terms ask, of the streams that the batch holds and that are trained on."""
        asked_for = {
            stream: {
                name
                for term in self.losses.values()
                if term.weight > 0 and term.stream == stream
                for name in term.asks_for
            }
            for stream in batch
            if self._is_trained_on(stream)
        }
        return {
            name: stream_of(name, self, batch[name], asked) for name, asked in asked_for.items()
        }

    def _compute(self, inputs: Mapping[str, Any]) -> dict[str, LossValue]:
        terms = {}
        for name, term in self.losses.items():
            if term.weight > 0 and term.stream in inputs:
                terms[name] = term.compute(inputs[term.stream])
                check_kind(terms[name], LossValue, f"what losses.{name} computes")
        return terms

    def weighted_sum(self, means: Mapping[str, Tensor]) -> Tensor:
        """Return the loss that these means of the terms make."""
        weighted = [self.losses[name].weight * mean for name, mean in means.items()]
        return torch.stack(weighted).sum()

    def _is_trained_on(self, stream: str) -> bool:
        """Whether a term of the stream has a weight."""
        return any(term.weight > 0 and term.stream == stream for term in self.losses.values())

    def _log_segments(self, name: str, per_sample: Tensor, segment: Tensor) -> None:
        """Log a term's means by segment, over the samples of this process."""
        for index in segment.unique().tolist():
            chosen = per_sample[segment == index]
            self.log(f"train/{name}/segment_{index}", chosen.mean(), batch_size=len(chosen))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is needed to export a checkpoint on its own."""
        super().on_save_checkpoint(checkpoint)
        note_arguments(
            self,
            checkpoint,
            student=self.model_id,
            image_tokenizer=self.image_tokenizer_id,
            text_tokenizer=self.text_tokenizer_id,
            vision_encoder=self.vision_encoder_id,
            family=self.family,
            noise_size=self.noise_size,
            max_language_length=self.max_language_length,
            lora=None if self.lora is None else asdict(self.lora),
        )

    configure_gradient_clipping = clip_gradients

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer over the student, and the schedule if there is one."""
        return optimizer_and_schedule(self.student, self.optimizer, self.lr_scheduler)

    def lr_scheduler_step(self, scheduler: LRSchedulerTypeUnion, metric: Any | None) -> None:
        """Step a learning rate schedule; some end, and say so by a `ValueError`."""
        try:
            super().lr_scheduler_step(scheduler, metric)
        except ValueError as error:
            raise UserError(
                f"{type(scheduler).__name__} cannot go on at step {self.global_step} "
                f"({' '.join(str(error).split())}); give it a horizon as long as the run's or the "
                "stage's, and start again"
            ) from error
