"""Stages of distillation: collect with the teacher, train, make the student the next teacher."""

import sys
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DeepSpeedStrategy, ModelParallelStrategy
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.seed import isolate_rng

from showo_turbo.data import DistillationDataModule
from showo_turbo.data.images import encode_images
from showo_turbo.errors import UserError
from showo_turbo.files import read_json, write_json
from showo_turbo.models.checkpoints import save_checkpoint
from showo_turbo.models.magvitv2 import MAGVITv2
from showo_turbo.models.showo import Showo
from showo_turbo.sampling.mask_schedules import MaskSchedule
from showo_turbo.training.turbo import ShowoTurbo
from showo_turbo.trajectories import (
    ImageCollection,
    TextCollection,
    TrajectoryStore,
    collect_images,
    collect_texts,
    fingerprint_module,
    image_identity,
    text_identity,
)
from showo_turbo.trajectories.requests import image_prompts, text_requests

from .stage import Stage
from .student_weights import gather_student, is_sharded, replace_teacher


class Curriculum(Callback):
    """Runs `ShowoTurbo` through stages.

    Training is cut into *rounds*: a stage is one round, or several with `refresh_every_n_epochs`.
    When a round begins, the student becomes the teacher (in the first round both are the model
    given), the teacher is saved once, as `<folder>/round-<r>/teacher`, it collects trajectories
    into `round-<r>/images` and `round-<r>/texts`, and the DataModule switches to them. All of it
    is skipped where it was already done, so a run that is killed continues where it was.

    Events: round 0 begins in `on_fit_start`, later ones in `on_train_epoch_end`, before
    `ModelCheckpoint` saves. A run resumed from a checkpoint takes its round from there; should the
    checkpoint lie just before an `on_train_epoch_end` that never ran, the round is begun in
    `on_train_start`. The stages decide how many epochs the run has, unless `trainer.max_epochs`
    asks for fewer. Loaders are rebuilt every epoch.

    With several devices all switch together, and each collects its part of the shards; trajectories
    depend neither on the number of devices nor on an interruption. Where the strategy shards the
    networks (FSDP), every process collects with a whole teacher of its own, read from the round's
    folder, since decoding takes every process another number of forward passes.

    The state in the checkpoint is plain: round, and of each round begun the teacher's and the
    stores' fingerprints, checked when it is resumed.

    Args:
        stages: The stages, in order.
        folder: Where teachers and trajectories go; `<trainer.default_root_dir>/curriculum` by
            default.
        mask_schedule: Of the image trajectories.
        kept_codes: Codes that are recorded of each of the teacher's distributions.
        block_size: Text tokens that are decoded together.
        max_new_tokens: Longest answer; longer ones are left out and counted.
        batch_size: Samples that the teacher decodes at once.
        shard_size: Trajectories a file.

    Raises:
        UserError: If a stage does not fit the model (steps, segments) or the stores or teachers
            on disk belong to another run.

    Source: Show-o Turbo (arXiv 2502.05415), "curriculum"; trajectory collection as in CLLM
    (arXiv 2403.00835).
    """

    def __init__(
        self,
        stages: list[Stage],
        folder: Path | None = None,
        mask_schedule: MaskSchedule = "cosine",
        kept_codes: int = 16,
        block_size: int = 16,
        max_new_tokens: int = 512,
        batch_size: int = 32,
        shard_size: int = 256,
    ) -> None:
        super().__init__()
        if not stages:
            raise UserError("the curriculum has no stages; give at least one under `stages`")
        self.stages = stages
        self.folder = folder
        self.mask_schedule = mask_schedule
        self.kept_codes = kept_codes
        self.block_size = block_size
        self.max_new_tokens = max_new_tokens
        self.batch_size = batch_size
        self.shard_size = shard_size
        self.round = 0
        self.seconds: dict[str, list[float]] = {"collect": [], "fit": []}
        self._fingerprints: list[dict[str, str]] = []
        self._entered: int | None = None
        self._round_began = 0.0

    @property
    def rounds(self) -> list[tuple[int, int]]:
        """For every round its stage (from 0) and its first epoch."""
        rounds, first = [], 0
        for index, stage in enumerate(self.stages):
            length = stage.refresh_every_n_epochs or stage.epochs
            rounds += [(index, first + done) for done in range(0, stage.epochs, length)]
            first += stage.epochs
        return rounds

    @property
    def stage_index(self) -> int:
        """The current stage, from 0."""
        return self.rounds[self.round][0]

    @property
    def stage(self) -> Stage:
        """The current stage."""
        return self.stages[self.stage_index]

    def round_folder(self, round_index: int) -> Path:
        """Folder of a round's teacher and trajectories."""
        assert self.folder is not None
        return self.folder / f"round-{round_index}"

    def stage_teachers(self) -> list[Path]:
        """The teacher's folder of each stage: the base first, then the students so far."""
        first_rounds: dict[int, int] = {}
        for round_index, (stage, _) in enumerate(self.rounds):
            first_rounds.setdefault(stage, round_index)
        return [self.round_folder(r) / "teacher" for r in first_rounds.values()]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check the stages against the model, and give the trainer their epochs."""
        if stage != "fit":
            return
        if not isinstance(pl_module, ShowoTurbo):
            raise UserError(f"Curriculum trains ShowoTurbo, not {type(pl_module).__name__}")
        if isinstance(trainer.strategy, (DeepSpeedStrategy, ModelParallelStrategy)):
            raise UserError(
                f"Curriculum cannot renew a teacher that {type(trainer.strategy).__name__} has "
                "sharded; use DDP or FSDP"
            )
        if self.folder is None:
            self.folder = Path(trainer.default_root_dir) / "curriculum"
        epochs = sum(entry.epochs for entry in self.stages)
        asked = trainer.max_epochs
        if asked is None or asked < 0 or asked > epochs:
            trainer.fit_loop.max_epochs = epochs
        trainer.reload_dataloaders_every_n_epochs = 1  # type: ignore[attr-defined]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the first round, or go back to the one that the checkpoint was in."""
        self._check_stages(_turbo(pl_module), _data(trainer))
        if trainer.ckpt_path is None or not trainer.strategy.restore_checkpoint_after_setup:
            self._enter(trainer, _turbo(pl_module))

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go back to the checkpoint's round, where the strategy restores late, before loaders."""
        if trainer.strategy.restore_checkpoint_after_setup and trainer.state.fn == "fit":
            self.load_state_dict(checkpoint["callbacks"][self.state_key])
            self._enter(trainer, _turbo(pl_module))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Catch up where the checkpoint says another round than was begun, or the epoch does."""
        self._enter(trainer, _turbo(pl_module))
        due = self._round_of_epoch(trainer.current_epoch)
        if due > self.round:
            self._advance(trainer, _turbo(pl_module))
            # The checkpoint's epoch was over. Lightning would judge that by the number of batches
            # of the loader that comes next, which is another now.
            progress = trainer.fit_loop.epoch_loop.batch_progress
            progress.current.completed = sys.maxsize
        self._apply_learning_rate(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lower the learning rate, where the stage says so."""
        if self.stage.final_learning_rate is not None:
            self._apply_learning_rate(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the next round when this epoch was a round's last."""
        if self._round_of_epoch(trainer.current_epoch + 1) > self.round:
            self._advance(trainer, _turbo(pl_module))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note how long the last round trained."""
        self._clock_round()

    def _check_stages(self, module: ShowoTurbo, data: DistillationDataModule) -> None:
        """Find what cannot be collected in any stage before the first one begins.

        Raises:
            UserError: Naming the stage and what is wrong with it.
        """
        config = module.student.config
        for round_index, (stage_index, _) in enumerate(self.rounds):
            stage = self.stages[stage_index]
            try:
                if "image" in data.batch_sizes:
                    settings = self._image_settings(stage)
                    settings.sampling.check(config.image_tokens, config.codebook_size)
                    data.image_prompts(stage.image_trajectories, selection=round_index)
                if "text" in data.batch_sizes:
                    self._text_settings(round_index)
                    data.text_requests(stage.text_trajectories, selection=round_index)
            except UserError as error:
                raise UserError(f"stage {stage_index + 1}: {error}") from None

    def _image_settings(self, stage: Stage) -> ImageCollection:
        return ImageCollection(
            steps=stage.steps,
            segments=stage.image_segments,
            guidance_scale=stage.guidance_scale,
            mask_schedule=self.mask_schedule,
            confidence_temperature=stage.confidence_temperature,
            noise_seed=stage.noise_seed,
            kept_codes=self.kept_codes,
            batch_size=self.batch_size,
            shard_size=self.shard_size,
        )

    def _text_settings(self, round_index: int) -> TextCollection:
        return TextCollection(
            max_new_tokens=self.max_new_tokens,
            block_size=self.block_size,
            seed=round_index,
            batch_size=self.batch_size,
            shard_size=self.shard_size,
        )

    def _round_of_epoch(self, epoch: int) -> int:
        """The round that an epoch belongs to; the last one for epochs beyond the end."""
        return max(r for r, (_, first) in enumerate(self.rounds) if first <= max(epoch, 0))

    def _advance(self, trainer: Trainer, module: ShowoTurbo) -> None:
        """Make the student the teacher and begin the next round."""
        self._clock_round()
        before = self.stage_index
        self.round += 1
        if self.stage_index == before or not self.stage.keep_optimizer:
            for optimizer in trainer.optimizers:
                optimizer.state.clear()
        self._enter(trainer, module)
        self._apply_learning_rate(trainer)

    def _enter(self, trainer: Trainer, module: ShowoTurbo) -> None:
        """Make the current round's teacher and trajectories the ones in use."""
        if self._entered == self.round:
            return
        teacher = self._prepare_teacher(trainer, module)
        began = time.perf_counter()
        images, texts = self._collect(trainer, module, teacher)
        self._add_seconds("collect", time.perf_counter() - began)
        self._check_fingerprint("images", images)
        self._check_fingerprint("texts", texts)
        _data(trainer).set_stores(
            images,
            texts,
            mask_code=module.student.vocabulary.mask_code,
            text_segments=self.stage.text_segments,
        )
        self._entered = self.round
        self._round_began = time.perf_counter()
        rank_zero_info(f"stage {self.stage_index + 1} of {len(self.stages)}: {self.stage}")

    def _prepare_teacher(self, trainer: Trainer, module: ShowoTurbo) -> Showo:
        """Save the round's teacher unless that was done, and take it from where it was saved.

        Returns:
            The whole teacher: the module's, or a copy where the strategy has sharded that.
        """
        folder = self.round_folder(self.round) / "teacher"
        record = folder / "fingerprint.json"
        known = self._fingerprints[self.round] if self.round < len(self._fingerprints) else None
        if known is None and not trainer.strategy.broadcast(record.is_file()):
            self._save_teacher(trainer, module, folder)
        teacher = Showo.from_pretrained(folder)
        fingerprint = fingerprint_module(teacher)
        if known is not None and known["teacher"] != fingerprint:
            raise UserError(
                f"the teacher in {folder} is not the one that the checkpoint was trained with "
                f"({fingerprint[:12]} instead of {known['teacher'][:12]}); restore that folder or "
                "start a new run"
            )
        if read_json(record)["teacher"] != fingerprint:
            raise UserError(
                f"the teacher in {folder} is damaged: its fingerprint is not the one noted in "
                f"{record.name}; restore that folder, or remove it to begin the round anew"
            )
        fresh = known is None and self.round == 0
        if fresh and fingerprint != fingerprint_module(_base(trainer, module)):
            raise UserError(
                f"{folder} holds the teacher of another run; use another trainer.default_root_dir "
                "or remove that folder"
            )
        if known is None:
            self._fingerprints.append({"teacher": fingerprint})
        replace_teacher(trainer, module, teacher)
        return teacher.to(module.device) if is_sharded(trainer) else module.teacher

    def _save_teacher(self, trainer: Trainer, module: ShowoTurbo, folder: Path) -> None:
        """Write the model that the run starts from, or the student, as the round's teacher."""
        first = self.round == 0
        state = _base(trainer, module).state_dict() if first else gather_student(trainer)
        if trainer.is_global_zero:
            save_checkpoint(folder, state, module.student.config.to_dict())
            fingerprint = fingerprint_module(Showo.from_pretrained(folder))
            write_json(folder / "fingerprint.json", {"teacher": fingerprint})
        trainer.strategy.barrier("teacher saved")

    def _check_fingerprint(self, kind: str, store: TrajectoryStore | None) -> None:
        """Note a store's fingerprint, or compare it with the one that the checkpoint knows."""
        if store is None:
            return
        noted = self._fingerprints[self.round].setdefault(kind, store.fingerprint)
        if noted != store.fingerprint:
            raise UserError(
                f"the trajectories in {store.folder} are not those that the checkpoint was trained "
                "on; restore that folder or start a new run"
            )

    def _collect(
        self, trainer: Trainer, module: ShowoTurbo, teacher: Showo
    ) -> tuple[TrajectoryStore | None, TrajectoryStore | None]:
        """Collect the round's trajectories, or open those that are there."""
        data = _data(trainer)
        images = texts = None
        with isolate_rng(), torch.no_grad(), trainer.precision_plugin.forward_context():
            if "image" in data.batch_sizes:
                images = self._collect_images(trainer, module, teacher, data)
            if "text" in data.batch_sizes:
                texts = self._collect_texts(trainer, module, teacher, data)
        return images, texts

    def _collect_images(
        self,
        trainer: Trainer,
        module: ShowoTurbo,
        teacher: Showo,
        data: DistillationDataModule,
    ) -> TrajectoryStore:
        captions = data.image_prompts(self.stage.image_trajectories, selection=self.round)
        prompts, left_out = image_prompts(captions, module.prompting, module.text_tokenizer)
        if left_out:
            rank_zero_info(
                f"left out {left_out} of {len(captions)} captions, which have more than "
                f"{module.prompting.longest_prompt} tokens"
            )
        settings = self._image_settings(self.stage)
        identity = image_identity(self._teacher_fingerprint, prompts, settings)
        store = TrajectoryStore.create_or_continue(
            self.round_folder(self.round) / "images", identity, **_ranks(trainer, create=True)
        )
        return collect_images(teacher, prompts, settings, store, **_ranks(trainer))

    def _collect_texts(
        self,
        trainer: Trainer,
        module: ShowoTurbo,
        teacher: Showo,
        data: DistillationDataModule,
    ) -> TrajectoryStore:
        questions = data.text_requests(self.stage.text_trajectories, selection=self.round)
        image_tokenizer = _whole_image_tokenizer(trainer, module)

        def codes(pixels: torch.Tensor) -> torch.Tensor:
            return image_tokenizer.encode(pixels.to(module.device))

        room = module.student.config.text_room
        requests, left_out = text_requests(
            questions,
            lambda paths: encode_images(paths, data.resolution, codes, data.bad_samples.skip),
            module.text_tokenizer,
            room,
            self.batch_size,
        )
        if left_out:
            rank_zero_info(
                f"left out {left_out} of {len(questions)} questions, which have {room} tokens or "
                "more"
            )
        settings = self._text_settings(self.round)
        identity = text_identity(self._teacher_fingerprint, requests, settings)
        store = TrajectoryStore.create_or_continue(
            self.round_folder(self.round) / "texts", identity, **_ranks(trainer, create=True)
        )
        return collect_texts(teacher, requests, settings, store, **_ranks(trainer))

    @property
    def _teacher_fingerprint(self) -> str:
        return self._fingerprints[self.round]["teacher"]

    def _apply_learning_rate(self, trainer: Trainer) -> None:
        """Set the stage's learning rate, in the schedules too."""
        rate, final = self.stage.learning_rate, self.stage.final_learning_rate
        if rate is None:
            return
        if final is not None and self.stage.epochs > 1:
            began = sum(stage.epochs for stage in self.stages[: self.stage_index])
            done = max(0, trainer.current_epoch - began) / (self.stage.epochs - 1)
            rate += done * (final - rate)
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        for config in trainer.lr_scheduler_configs:
            config.scheduler.base_lrs = [rate] * len(config.scheduler.base_lrs)

    def _clock_round(self) -> None:
        """Count the time since the round began, or since the last call, as training."""
        if self._round_began:
            now = time.perf_counter()
            self._add_seconds("fit", now - self._round_began)
            self._round_began = now

    def _add_seconds(self, phase: str, seconds: float) -> None:
        """Add to the current round's time, which a resumed run continues."""
        rounds = self.seconds[phase]
        rounds += [0.0] * (self.round + 1 - len(rounds))
        rounds[self.round] += seconds

    def state_dict(self) -> dict[str, Any]:
        """The round and what it was trained with, in plain types."""
        self._clock_round()
        return {
            "round": self.round,
            "fingerprints": [dict(entry) for entry in self._fingerprints],
            "seconds": {name: list(values) for name, values in self.seconds.items()},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go back to a checkpoint's round.

        Raises:
            UserError: If these stages have no such round.
        """
        self.round = state_dict["round"]
        if self.round >= len(self.rounds):
            raise UserError(
                f"the checkpoint is in round {self.round + 1}, but these stages have only "
                f"{len(self.rounds)}; resume with the stages that the run was started with"
            )
        self._fingerprints = [dict(entry) for entry in state_dict["fingerprints"]]
        self.seconds = {name: list(values) for name, values in state_dict["seconds"].items()}
        self._entered = None


def _turbo(module: LightningModule) -> ShowoTurbo:
    assert isinstance(module, ShowoTurbo)  # checked in setup
    return module


def _base(trainer: Trainer, module: ShowoTurbo) -> Showo:
    """The whole model that a run starts from."""
    return Showo.from_pretrained(module.model_id) if is_sharded(trainer) else module.teacher


def _whole_image_tokenizer(trainer: Trainer, module: ShowoTurbo) -> MAGVITv2:
    """The module's image tokenizer, or a copy where the strategy has sharded it."""
    if not is_sharded(trainer):
        return module.image_tokenizer
    return MAGVITv2.from_pretrained(module.image_tokenizer_id).eval().to(module.device)


def _data(trainer: Trainer) -> DistillationDataModule:
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, DistillationDataModule):
        raise UserError(f"Curriculum needs a DistillationDataModule, not {type(data).__name__}")
    return data


def _ranks(trainer: Trainer, create: bool = False) -> dict[str, Any]:
    """How the collectors share the work and wait for one another."""
    ranks: dict[str, Any] = {"rank": trainer.global_rank, "barrier": trainer.strategy.barrier}
    return ranks if create else ranks | {"world_size": trainer.world_size}
