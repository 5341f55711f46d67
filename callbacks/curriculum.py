"""Stages of distillation: collect with the teacher, train, make the student the next teacher."""

import shutil
import sys
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DeepSpeedStrategy
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from showo_turbo.curriculum.clock import RoundClock
from showo_turbo.curriculum.rounds import round_of_epoch, rounds_of, stored_trajectories
from showo_turbo.curriculum.schedules import StageSchedules
from showo_turbo.curriculum.stage import Stage
from showo_turbo.curriculum.teacher import prepare_teacher
from showo_turbo.curriculum.trajectories import RoundTrajectories
from showo_turbo.data import DistillationDataModule
from showo_turbo.errors import UserError
from showo_turbo.models.protocols import ImageModel
from showo_turbo.training.turbo import ShowoTurbo
from showo_turbo.trajectories import TrajectoryStore
from showo_turbo.utils.interruption import ends_at_once


class Curriculum(Callback):
    """Runs `ShowoTurbo` through stages.

    Training is cut into *rounds*: a stage is one round, or several with `refresh_every_n_epochs`.
    When a round begins, the student becomes the teacher (in the first round both are the model
    given), the teacher is saved once, as `<folder>/round-<r>/teacher`, it collects trajectories
    into `round-<r>/images` and `round-<r>/texts`, and the DataModule switches to them. The first
    round of a stage can be given stores that `collect` made instead (`Stage.trajectories`, or
    `trajectories` of the DataModule for the first of all), which are then checked and read where
    they are. All of it
    is skipped where it was already done, so a run that is killed continues where it was. A round
    whose saved teacher is not this run's student, since the folder is another training's, is put
    aside as `replaced-round-<r>-<n>` and begun again. Under `fast_dev_run` only a few trajectories
    are collected, into `<trainer.default_root_dir>/fast_dev_run`.

    Events: round 0 begins in `on_fit_start`, later ones in `on_train_epoch_end`, before
    `ModelCheckpoint` saves. A run resumed from a checkpoint takes its round from there; should the
    checkpoint lie just before an `on_train_epoch_end` that never ran, the round is begun in
    `on_train_start`. The stages decide how many epochs the run has, unless `trainer.max_epochs`
    asks for fewer. Loaders are rebuilt every epoch.

    Beside the student there is a teacher only where a consistency target needs it. Otherwise the
    student collects while its weights are still the teacher's, and where a resumed run has to
    collect later than that, the saved teacher is read and dropped again.

    With several devices all switch together, and each collects its part of the shards; trajectories
    depend neither on the number of devices nor on an interruption. Where the strategy shards the
    networks, every process collects with a whole teacher of its own, read from the round's
    folder, since decoding takes every process another number of forward passes.

    A stage's learning rate and its `lr_scheduler` are set when the stage begins; Lightning steps,
    logs and saves the scheduler as it does those of the model. Every stage's scheduler is tried out
    before anything is collected.

    The state in the checkpoint is plain: round, and of each round begun the teacher's and the
    stores' fingerprints, checked when it is resumed.

    How the teacher is sampled is in the module's `teacher_sampling`, which a stage may change parts
    of; how long answers may be (longer ones are left out and counted) and in blocks of which size
    they are decoded, in its `decoding`, or in its `teacher_decoding`, likewise.

    Args:
        stages: The stages, in order.
        folder: Where teachers and trajectories go; `<trainer.default_root_dir>/curriculum` by
            default.
        topk_targets: Codes that are recorded of each of the teacher's distributions, see
            `ImageCollection`.
        batch_size: Samples that the teacher decodes at once.
        shard_size: Trajectories a file.

    Raises:
        UserError: If a stage does not fit the model (steps, segments), its learning rate cannot
            be scheduled, or the stores or teachers on disk belong to another run.

    Source: Show-o Turbo (arXiv 2502.05415), "curriculum"; trajectory collection as in CLLM
    (arXiv 2403.00835).
    """

    def __init__(
        self,
        stages: list[Stage],
        folder: Path | None = None,
        topk_targets: int = 16,
        batch_size: int = 32,
        shard_size: int = 256,
    ) -> None:
        super().__init__()
        if not stages:
            raise UserError("the curriculum has no stages; give at least one under `stages`")
        self.stages = stages
        self.folder = folder
        self.trajectories = RoundTrajectories(topk_targets, batch_size, shard_size)
        self.round = 0
        self.schedules = StageSchedules(stages)
        self.clock = RoundClock()
        self._fingerprints: list[dict[str, str]] = []
        self._entered: int | None = None

    @property
    def rounds(self) -> list[tuple[int, int]]:
        """For every round its stage (from 0) and its first epoch."""
        return rounds_of(self.stages)

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
            raise UserError(
                f"Curriculum trains {type(pl_module).__name__}; expected a ShowoTurbo, leave the "
                "callback out"
            )
        if isinstance(trainer.strategy, DeepSpeedStrategy):
            raise UserError(
                f"Curriculum cannot renew a teacher that {type(trainer.strategy).__name__} has "
                "sharded; use DDP, FullySharded or FSDP"
            )
        check_precision(trainer)
        self.schedules.check_model(pl_module.lr_scheduler)
        self.trajectories.check_settings(self.stages, pl_module)
        for entry in self.stages:
            pl_module.check_stage(entry.loss_weights, entry.consistency_target)
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.folder = Path(trainer.default_root_dir) / "fast_dev_run"
        elif self.folder is None:
            self.folder = Path(trainer.default_root_dir) / "curriculum"
        epochs = sum(entry.epochs for entry in self.stages)
        asked = trainer.max_epochs
        if asked is None or asked < 0 or asked > epochs:
            trainer.fit_loop.max_epochs = epochs
        trainer.reload_dataloaders_every_n_epochs = 1  # type: ignore[attr-defined]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the first round, or go back to the one that the checkpoint was in."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            assert self.folder is not None  # set in setup
            if trainer.is_global_zero:
                shutil.rmtree(self.folder, ignore_errors=True)
            trainer.strategy.barrier("fast_dev_run begun")
        begun = self.round < len(self._fingerprints)
        self.trajectories.check(
            trainer,
            _turbo(pl_module),
            _data(trainer),
            self.stages,
            self.round,
            self._fingerprints[self.round]["teacher"] if begun else None,
        )
        self.schedules.prepare(trainer)
        self.schedules.go_on(trainer, self.stage_index)
        if trainer.ckpt_path is None or not trainer.strategy.restore_checkpoint_after_setup:
            self._enter(trainer, _turbo(pl_module))

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go back to the checkpoint's round, where the strategy restores late, before loaders."""
        if trainer.strategy.restore_checkpoint_after_setup and trainer.state.fn == "fit":
            self.load_state_dict(checkpoint["callbacks"][self.state_key])
            self.schedules.go_on(trainer, self.stage_index)
            self._enter(trainer, _turbo(pl_module))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Catch up where the checkpoint says another round than was begun, or the epoch does."""
        self._enter(trainer, _turbo(pl_module))
        due = round_of_epoch(self.stages, trainer.current_epoch)
        if due > self.round:
            self._advance(trainer, _turbo(pl_module))
            # The checkpoint's epoch was over. Lightning would judge that by the number of batches
            # of the loader that comes next, which is another now.
            progress = trainer.fit_loop.epoch_loop.batch_progress
            progress.current.completed = sys.maxsize

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the next round when this epoch was a round's last."""
        if round_of_epoch(self.stages, trainer.current_epoch + 1) > self.round:
            self._advance(trainer, _turbo(pl_module))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note how long the last round trained, and say which stages did not run."""
        self.clock.tick(self.round)
        left = [str(number + 1) for number in range(self.stage_index + 1, len(self.stages))]
        if left and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            rank_zero_warn(
                f"training has ended in stage {self.stage_index + 1} of {len(self.stages)}, and "
                f"did not run stage {' and '.join(left)}; with max_epochs -1 and --resume auto it "
                "goes on"
            )

    def _advance(self, trainer: Trainer, module: ShowoTurbo) -> None:
        """Make the student the teacher and begin the next round."""
        self.clock.tick(self.round)
        before = self.stage_index
        self.round += 1
        if not self.stage.keep_optimizer:
            for optimizer in trainer.optimizers:
                optimizer.state.clear()
        self._enter(trainer, module)
        if self.stage_index != before:
            self.schedules.begin(trainer, self.stage_index)

    def _enter(self, trainer: Trainer, module: ShowoTurbo) -> None:
        """Make the current round's teacher and trajectories the ones in use."""
        if self._entered == self.round:
            return
        teacher = self._prepare_teacher(trainer, module)
        with self.clock.collecting(self.round), ends_at_once():
            stores = self._collect(trainer, module, teacher)
        for kind, store in stores.items():
            self._check_fingerprint(kind, store)
        _data(trainer).set_stores(
            stores.get("images"),
            stores.get("texts"),
            mask_code=module.student.mask_code,
            image_segments=self.stage.image_segments,
            text_segments=self.stage.text_segments,
            draws=self.stage.draws,
            partly_known=self.stage.partly_known,
            text_draws=self.stage.text_draws,
            text_mask_id=getattr(module.student, "text_mask_id", None),
        )
        module.set_stage(self.stage.loss_weights, self.stage.consistency_target)
        self._entered = self.round
        self.clock.begin_training()
        described = self.stage.describe(module.teacher_sampling)
        rank_zero_info(f"stage {self.stage_index + 1} of {len(self.stages)}: {described}")

    def _prepare_teacher(self, trainer: Trainer, module: ShowoTurbo) -> tuple[ImageModel, str]:
        """Take the round's teacher, and note its fingerprint."""
        begun = self.round < len(self._fingerprints)
        teacher, fingerprint = prepare_teacher(
            trainer,
            module,
            self.round_folder(self.round) / "teacher",
            first=self.round == 0,
            known=self._fingerprints[self.round]["teacher"] if begun else None,
            sampling=self.stage.sampling.over(module.teacher_sampling),
        )
        if not begun:
            self._fingerprints.append({"teacher": fingerprint})
        return teacher, fingerprint

    def _collect(
        self, trainer: Trainer, module: ShowoTurbo, teacher: tuple[ImageModel, str]
    ) -> dict[str, TrajectoryStore]:
        """Collect the round's trajectories, or open those that are there."""
        folder = self.round_folder(self.round)
        data = _data(trainer)
        given = stored_trajectories(self.stages, self.round, data.trajectories)
        return self.trajectories.collect(
            trainer, module, data, teacher, folder, self.stages, self.round, given
        )

    def _check_fingerprint(self, kind: str, store: TrajectoryStore) -> None:
        """Note a store's fingerprint, or compare it with the one that the checkpoint knows."""
        noted = self._fingerprints[self.round].setdefault(kind, store.fingerprint)
        if noted != store.fingerprint:
            raise UserError(
                f"the trajectories in {store.folder} are not those that the checkpoint was trained "
                "on; restore that folder or start a new run"
            )

    def state_dict(self) -> dict[str, Any]:
        """The round and what it was trained with, in plain types."""
        self.clock.tick(self.round)
        return {
            "round": self.round,
            "fingerprints": [dict(entry) for entry in self._fingerprints],
            "seconds": {name: list(values) for name, values in self.clock.seconds.items()},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go back to a checkpoint's round.

        Raises:
            UserError: If these stages have no such round.
        """
        self.round = state_dict["round"]
        if not 0 <= self.round < len(self.rounds):
            raise UserError(
                f"the checkpoint is in round {self.round + 1}, but these stages have "
                f"{len(self.rounds)}; resume with the stages that the run was started with"
            )
        self._fingerprints = [dict(entry) for entry in state_dict["fingerprints"]]
        self.clock.seconds = {name: list(values) for name, values in state_dict["seconds"].items()}
        self._entered = None


def check_precision(trainer: Trainer) -> None:
    """Raise on precisions that change the type of the weights.

    Raises:
        UserError: Naming it.
    """
    precision = str(trainer.precision)
    if precision.endswith("-true") and precision != "32-true":
        raise UserError(
            f"trainer.precision is {precision}, which changes the weights themselves, so that a "
            "teacher is no longer the one that was saved; expected 32-true, bf16-mixed or 16-mixed"
        )


def _turbo(module: LightningModule) -> ShowoTurbo:
    assert isinstance(module, ShowoTurbo)  # checked in setup
    return module


def _data(trainer: Trainer) -> DistillationDataModule:
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, DistillationDataModule):
        raise UserError(
            f"Curriculum has data of the kind {type(data).__name__}; expected a "
            "DistillationDataModule, train on one or leave the callback out"
        )
    return data
