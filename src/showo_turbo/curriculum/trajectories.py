"""The trajectories of a round: checked before training, and collected when the round begins."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from ..data import DistillationDataModule
from ..data.images import encode_images
from ..data.sources import required
from ..errors import UserError
from ..models.autocast import cast_linear_layers
from ..models.masked_text import MaskedTextModel
from ..models.model_config import token_grid, video_frames
from ..models.protocols import ImageModel
from ..models.registry import load_model
from ..training.student_weights import whole_image_encoder, whole_image_tokenizer
from ..training.turbo import ShowoTurbo
from ..trajectories import (
    ImageCollection,
    ModelIdentity,
    Processes,
    StoredTrajectories,
    TextCollection,
    TrajectoryCollector,
    TrajectoryStore,
    fingerprint_module,
)
from ..trajectories.stored import Training
from ..trajectories.text_draws import check_text_draws
from .rounds import rounds_of, stored_trajectories, used_before
from .stage import Stage


@dataclass(frozen=True)
class RoundTrajectories:
    """How the trajectories of every round are collected; what differs is in the stages.

    Args:
        topk_targets: Codes that are recorded of each of the teacher's distributions, see
            `ImageCollection`.
        batch_size: Samples that the teacher decodes at once.
        shard_size: Trajectories a file.
    """

    topk_targets: int
    batch_size: int
    shard_size: int

    def images(self, module: ShowoTurbo, stage: Stage, round_index: int) -> ImageCollection:
        """How a round's image trajectories are collected: as the module and its stage say."""
        return ImageCollection(
            sampling=stage.sampling.over(module.teacher_sampling),
            segments=stage.image_segments,
            seed=round_index,
            topk_targets=self.topk_targets,
            batch_size=self.batch_size,
            shard_size=self.shard_size,
            source=stage.source,
        )

    def texts(self, module: ShowoTurbo, stage: Stage, round_index: int) -> TextCollection:
        """How a round's text trajectories are collected: as the module and its stage say."""
        return TextCollection(
            decoding=stage.decoding.over(module.teacher_decoding),
            seed=round_index,
            batch_size=self.batch_size,
            shard_size=self.shard_size,
            segments=stage.text_segments,
            topk_targets=self.topk_targets,
        )

    def check_settings(self, stages: Sequence[Stage], module: ShowoTurbo) -> None:
        """Find stages whose settings contradict each other, or the module's.

        Raises:
            UserError: Naming the stage and what is wrong with it.
        """
        for index, stage in enumerate(stages):
            try:
                self.images(module, stage, index)
                self._check_groups(stage)
                self.texts(module, stage, index)
            except UserError as error:
                raise UserError(f"stage {index + 1}: {error}") from None

    def _check_groups(self, stage: Stage) -> None:
        """Images of one caption are generated together.

        Raises:
            UserError: If batches or shards would tear them apart.
        """
        count = stage.images_per_caption
        for name, size in (("batch_size", self.batch_size), ("shard_size", self.shard_size)):
            if size % count:
                raise UserError(
                    f"images_per_caption is {count}, but {name} is {size}; set one to a multiple "
                    "of the other, so that the images of a caption are generated together"
                )

    def check(
        self,
        trainer: Trainer,
        module: ShowoTurbo,
        data: DistillationDataModule,
        stages: Sequence[Stage],
        current: int,
        teacher: str | None,
    ) -> None:
        """Find what cannot be collected, or trained on, in any stage before the first one begins.

        Args:
            trainer: Whose strategy holds the weights.
            module: Whose model is trained.
            data: Knows the captions and questions, and for which of them trajectories are wanted.
            stages: The stages.
            current: The round that begins, or is resumed; stores of earlier ones are not needed.
            teacher: Fingerprint of the current round's teacher according to the checkpoint; None
                for a new run, whose teacher is the model that it starts from.

        Raises:
            UserError: Naming the stage and what is wrong with it.
        """
        for round_index, (stage_index, _) in enumerate(rounds_of(stages)):
            stage = stages[stage_index]
            if stage.partly_known.share and video_frames(module.student.config):
                raise UserError(
                    f"stage {stage_index + 1}: share of partly_known is {stage.partly_known.share},"
                    " but the model generates clips; expected 0, leave partly_known out"
                )
            given = stored_trajectories(stages, round_index, data.trajectories)
            kinds = _stored_kinds(given, data)
            try:
                if given is not None and kinds and round_index >= current:
                    known = teacher
                    if round_index == 0 and teacher is None:
                        known = fingerprint_module(module.load_base())
                    elif round_index > current:
                        known = None
                    for kind in kinds:
                        training = _training(trainer, module, stage, known, kind)
                        given.open(kind, training, rank_zero_warn)
                if "image" in data.batch_sizes and "images" not in kinds:
                    captions = _captions(data, stages, round_index)
                    self.images(module, stage, round_index).check(module.student, captions)
                if "text" in data.batch_sizes:
                    denoised = isinstance(module.student, MaskedTextModel)
                    check_text_draws(stage.text_draws, denoised)
                if "text" in data.batch_sizes and "texts" not in kinds:
                    self.texts(module, stage, round_index).recorded.check_for(module.student)
                    _questions(data, stages, round_index)
            except UserError as error:
                raise UserError(f"stage {stage_index + 1}: {error}") from None

    def collect(
        self,
        trainer: Trainer,
        module: ShowoTurbo,
        data: DistillationDataModule,
        teacher: tuple[ImageModel, str],
        folder: Path,
        stages: Sequence[Stage],
        round_index: int,
        given: StoredTrajectories | None,
    ) -> dict[str, TrajectoryStore]:
        """Collect a round's trajectories, or open those that are there or given.

        Args:
            trainer: Knows the processes and the precision.
            module: Whose tokenizers are used; it says how its teacher is sampled.
            data: Knows the captions and questions, and for which of them trajectories are wanted.
            teacher: The whole teacher, wherever it is, and its fingerprint.
            folder: The round's.
            stages: The stages.
            round_index: Which round it is.
            given: Stores to take in place of collecting.

        Returns:
            The stores `images` and `texts`, as far as the data module trains on them.
        """
        processes = Processes(trainer.global_rank, trainer.world_size, trainer.strategy.barrier)
        stores: dict[str, TrajectoryStore] = {}
        stage = stages[rounds_of(stages)[round_index][0]]
        image_tokenizer = whole_image_tokenizer(trainer, module)
        if given is not None:
            for kind in _stored_kinds(given, data):
                training = _training(trainer, module, stage, teacher[1], kind)
                stores[kind] = given.open(kind, training, rank_zero_warn, verify=False)
        with isolate_rng(), torch.no_grad(), trainer.precision_plugin.forward_context():
            if not any(teacher[0] is part for part in module.children()):  # a copy for this alone
                cast_linear_layers(teacher[0], module.device)
            if "image" in data.batch_sizes and "images" not in stores:
                source = stage.source
                collector = TrajectoryCollector(
                    *teacher,
                    module.text_tokenizer,
                    folder,
                    rank_zero_info,
                    processes,
                    base=_base(module, folder) if source and source.needs_base else None,
                    decode=partial(image_tokenizer.decode, grid=token_grid(teacher[0].config)),
                    device=module.device,
                )
                captions = _captions(data, stages, round_index)
                captions = captions[: _wanted(trainer, data.batch_sizes["image"])]
                captions = [text for text in captions for _ in range(stage.images_per_caption)]
                stores["images"] = collector.images(
                    captions, self.images(module, stage, round_index)
                )
            if "text" in data.batch_sizes and "texts" not in stores:
                encoder = whole_image_encoder(trainer, module)
                collector = TrajectoryCollector(
                    *teacher,
                    module.text_tokenizer,
                    folder,
                    rank_zero_info,
                    processes,
                    fingerprint_module(encoder),
                    device=module.device,
                )

                def encoded(pixels: Tensor) -> Tensor:
                    return encoder.encode(pixels.to(module.device))

                def encode(paths: Sequence[Path]) -> dict[Path, Tensor]:
                    return encode_images(
                        paths,
                        data.resolution,
                        encoded,
                        data.bad_samples.skip,
                        required(data.instructions, "instructions").background,
                        encoder.crop,
                    )

                questions = _questions(data, stages, round_index)
                questions = questions[: _wanted(trainer, data.batch_sizes["text"])]
                stores["texts"] = collector.texts(
                    questions, encode, self.texts(module, stage, round_index)
                )
        return stores


def _captions(data: DistillationDataModule, stages: Sequence[Stage], round_index: int) -> list[str]:
    """The captions of a round, others than those of earlier ones as far as there are."""
    stage = stages[rounds_of(stages)[round_index][0]]
    used = used_before(stages, round_index, "image")
    return data.image_prompts(stage.image_trajectories, used, stage.skip_prompts)


def _questions(
    data: DistillationDataModule, stages: Sequence[Stage], round_index: int
) -> list[tuple[Path, str]]:
    """The questions of a round, others than those of earlier ones as far as there are."""
    stage = stages[rounds_of(stages)[round_index][0]]
    return data.text_requests(stage.text_trajectories, used_before(stages, round_index, "text"))


def _base(module: ShowoTurbo, round_folder: Path) -> ImageModel:
    """The model that the run started from, as the first round saved it."""
    folder = round_folder.with_name("round-0") / "teacher"
    return load_model(folder, module.family).to(module.device)


def _stored_kinds(given: StoredTrajectories | None, data: DistillationDataModule) -> list[str]:
    """The kinds of stores that are given, and trained on."""
    kinds = {"images": "image", "texts": "text"}
    return [
        kind
        for kind, stream in kinds.items()
        if given is not None and given.folder(kind) is not None and stream in data.batch_sizes
    ]


def _training(
    trainer: Trainer, module: ShowoTurbo, stage: Stage, teacher: str | None, kind: str
) -> Training:
    """What a stage asks of a store that it is given."""
    encoder = None
    if kind == "texts":
        encoder = fingerprint_module(whole_image_encoder(trainer, module))
    return Training(
        ModelIdentity.of(module.student.config, module.text_tokenizer, encoder),
        teacher,
        stage.sampling.over(module.teacher_sampling),
        stage.image_segments,
        module.student.image_input,
    )


def _wanted(trainer: Trainer, batch_size: int) -> int | None:
    """How many trajectories are collected at most: all, or under `fast_dev_run` a few batches."""
    batches: int = trainer.fast_dev_run  # type: ignore[attr-defined]
    return 4 * batches * batch_size * trainer.world_size if batches else None
