"""Watches for collapse, and stops a run or takes it back to where it was sound."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.seed import isolate_rng

from showo_turbo.data import DistillationDataModule
from showo_turbo.errors import UserError, shown
from showo_turbo.evaluation.collapse import image_signs, text_signs
from showo_turbo.models.modes import evaluating
from showo_turbo.training.ranks import is_sharded
from showo_turbo.training.turbo import ShowoTurbo

Action = Literal["warn", "stop", "roll_back"]
GOOD = "good.ckpt"
_RATES = {"lr", "initial_lr", "max_lr", "min_lr"}
"""What groups of an optimizer hold that learning rates are computed from."""


@dataclass(frozen=True)
class CollapseLimits:
    """What counts as a collapse.

    Args:
        code_entropy: Least entropy of the codes over different prompts, as a share of that of the
            recorded images.
        repetitive: Largest share of answers that repeat themselves.
        agreement: Least agreement with the recorded images or answers, as a share of the best that
            was measured on the same ones before.
    """

    code_entropy: float = 0.5
    repetitive: float = 0.1
    agreement: float = 0.5

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value <= 1:
                raise UserError(f"limits.{name} is {value}; expected a share from 0 to 1")

    def exceeded(self, signs: Mapping[str, float], best: Mapping[str, float]) -> list[str]:
        """What is wrong, a phrase for each sign beyond its limit.

        Args:
            signs: By name, as they are logged.
            best: The best agreements so far, by name.
        """
        wrong = []
        entropy = signs.get("code_entropy", 1.0)
        if entropy < self.code_entropy:
            wrong.append(
                f"the entropy of codes is {entropy:.2f} of the teacher's, below {self.code_entropy}"
            )
        repetitive = signs.get("repetitive", 0.0)
        if repetitive > self.repetitive:
            wrong.append(
                f"{repetitive:.0%} of the answers repeat themselves, above {self.repetitive:.0%}"
            )
        for name, before in best.items():
            if signs.get(name, before) < self.agreement * before:
                wrong.append(
                    f"{name} is {signs[name]:.2f} after {before:.2f}, below {self.agreement} of it"
                )
        return wrong


class CollapseAlarm(Callback):
    """Measures signs of collapse while `ShowoTurbo` trains, and acts on them.

    On-policy losses feed a student with its own samples. Once these are alike, or loop, it learns
    that, and the loss does not show it. Every so many steps the student generates and answers the
    first trajectories that it is trained on, sampled and decoded as in its use. Logged are:

    - `collapse/code_entropy`: entropy of the codes over the prompts, as a share of the teacher's;
    - `collapse/image_agreement`: share of the codes that are the teacher's;
    - `collapse/repetitive`: share of the answers that repeat an n-gram over and over;
    - `collapse/text_agreement`: share of the answers that are the teacher's.

    Where all are within `limits`, a checkpoint is written, `<folder>/good.ckpt`. Where one is not,
    the run goes on with a warning, stops with an error that names the checkpoint, or goes back to
    the weights and moments of the checkpoint with a lower learning rate, as `action` says. It goes
    back to checkpoints of its own only, and not where weights are sharded or averaged.

    Events: `on_train_batch_end`. Random numbers of the run are left alone.

    Example:
        YAML::

            trainer:
              callbacks:
                - class_path: CollapseAlarm
                  init_args:
                    every_n_steps: 100
                    action: roll_back

    Args:
        every_n_steps: Optimizer steps between two measurements.
        images: Prompts to generate images for, at least 2; 0 for none.
        texts: Questions that are answered; 0 for none.
        limits: What counts as a collapse.
        action: `warn`, `stop` or `roll_back`.
        rollbacks: How often a run is taken back before it is stopped.
        learning_rate_factor: What the learning rate is multiplied by when it is.
        folder: Where the checkpoint goes; `<trainer.default_root_dir>/collapse_alarm` by default.

    Raises:
        UserError: When the run is stopped, or if an option is out of range.
    """

    def __init__(
        self,
        every_n_steps: int = 100,
        images: int = 32,
        texts: int = 16,
        limits: CollapseLimits = CollapseLimits(),
        action: Action = "stop",
        rollbacks: int = 2,
        learning_rate_factor: float = 0.5,
        folder: Path | None = None,
    ) -> None:
        super().__init__()
        least = {"every_n_steps": 1, "images": 0, "texts": 0, "rollbacks": 0}
        for name, value in (
            ("every_n_steps", every_n_steps),
            ("images", images),
            ("texts", texts),
            ("rollbacks", rollbacks),
        ):
            if value < least[name]:
                raise UserError(
                    f"CollapseAlarm: {name} is {value}; expected at least {least[name]}"
                )
        if images == 1 or not (images or texts):
            raise UserError(
                f"CollapseAlarm: images is {images} and texts is {texts}; expected at least 2 "
                "images, whose codes are compared, or 1 text"
            )
        if action not in get_args(Action):
            raise UserError(
                f"CollapseAlarm: action is {shown(action)}; choose {', '.join(get_args(Action))}"
            )
        if not 0 < learning_rate_factor <= 1:
            raise UserError(
                f"CollapseAlarm: learning_rate_factor is {learning_rate_factor}; expected above 0 "
                "and at most 1"
            )
        self.every_n_steps = every_n_steps
        self.images = images
        self.texts = texts
        self.limits = limits
        self.action = action
        self.rollbacks = rollbacks
        self.learning_rate_factor = learning_rate_factor
        self.folder = folder
        self.taken_back = 0
        self._best: dict[str, float] = {}
        self._measured_on = ""
        self._measured_at = 0
        self._good_step: int | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Settle on the folder.

        Raises:
            UserError: If there is no student to watch, nothing to measure it on, or no way back.
        """
        if not isinstance(pl_module, ShowoTurbo):
            raise UserError(
                f"CollapseAlarm watches ShowoTurbo, not {type(pl_module).__name__}; leave it out"
            )
        if stage == "fit":
            _check_run(trainer, self.action)
        if self.folder is None:
            self.folder = Path(trainer.default_root_dir) / "collapse_alarm"

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Measure if it is time, and act."""
        step = trainer.global_step
        if step % self.every_n_steps or step == self._measured_at:
            return
        assert isinstance(pl_module, ShowoTurbo)  # checked in setup
        self._measured_at = step
        signs = self.measure(trainer, pl_module)
        for name, value in signs.items():
            pl_module.log(f"collapse/{name}", value, batch_size=1)
        wrong = self.limits.exceeded(signs, self._best)
        if not wrong:
            agreements = {name: signs[name] for name in signs if name.endswith("agreement")}
            for name, value in agreements.items():
                self._best[name] = max(value, self._best.get(name, 0.0))
            if self.action != "warn":
                self._good_step = step
                trainer.save_checkpoint(self._good)
            return
        self._act(trainer, pl_module, f"step {step}: {'; '.join(wrong)}")

    def measure(self, trainer: Trainer, module: ShowoTurbo) -> dict[str, float]:
        """The signs by name, of the streams that are trained on."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, DistillationDataModule)
        images, texts = data.first_images(self.images), data.first_texts(self.texts)
        if data.trained_on != self._measured_on:  # other trajectories, other agreements
            self._best, self._measured_on = {}, data.trained_on
        signs: dict[str, float] = {}
        precision = trainer.precision_plugin.forward_context()
        with isolate_rng(), torch.no_grad(), precision, evaluating(module.student):
            if images:
                of_images = image_signs(module.student, images, module.sampling)
                signs["code_entropy"] = of_images.code_entropy
                signs["image_agreement"] = of_images.agreement
            if texts:
                of_texts = text_signs(module.student, texts, module.decoding)
                signs["repetitive"] = of_texts.repetitive
                signs["text_agreement"] = of_texts.agreement
        return signs

    @property
    def _good(self) -> Path:
        assert self.folder is not None  # set in setup
        return self.folder / GOOD

    def _act(self, trainer: Trainer, module: ShowoTurbo, what: str) -> None:
        """Warn, stop or roll back."""
        if self.action == "warn":
            rank_zero_warn(f"the student seems to collapse at {what}")
            return
        written = self._good_step is not None and self._good.exists()
        written = trainer.strategy.broadcast(written)
        possible = self.action == "roll_back" and written and self.taken_back < self.rollbacks
        if not possible:
            kept = f" (step {self._good_step} is kept in {self._good})" if written else ""
            raise UserError(
                f"the student collapses at {what}{kept}; start again with a smaller learning rate "
                "or weight of the on-policy terms"
            )
        self.taken_back += 1
        state = trainer.strategy.load_checkpoint(self._good)
        module.load_state_dict(state["state_dict"])
        module.on_load_checkpoint(state)
        for optimizer, moments in zip(trainer.optimizers, state["optimizer_states"], strict=True):
            rates = [
                {name: group[name] * self.learning_rate_factor for name in _RATES & group.keys()}
                for group in optimizer.param_groups
            ]
            optimizer.load_state_dict(moments)
            for group, lower in zip(optimizer.param_groups, rates, strict=True):
                group.update(lower)
        for config in trainer.lr_scheduler_configs:  # many compute each rate from the first ones
            _lower_base_rates(config.scheduler, self.learning_rate_factor)
        rank_zero_info(
            f"{what}: back to the student of step {state['global_step']}, with "
            f"{self.learning_rate_factor:g} of the learning rate"
        )

    def state_dict(self) -> dict[str, Any]:
        """What later measurements are compared with, in plain types."""
        return {
            "taken_back": self.taken_back,
            "best": dict(self._best),
            "measured_on": self._measured_on,
            "measured_at": self._measured_at,
            "good_step": self._good_step,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.taken_back = state_dict["taken_back"]
        self._best = dict(state_dict["best"])
        self._measured_on = state_dict["measured_on"]
        self._measured_at = state_dict["measured_at"]
        self._good_step = state_dict.get("good_step")  # earlier versions did not say


def _check_run(trainer: Trainer, action: Action) -> None:
    """Raise if there is nothing to measure on, or a run of this kind cannot be taken back."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, DistillationDataModule):
        raise UserError(
            f"CollapseAlarm measures on trajectories, and there are none in "
            f"{type(data).__name__}; train on a DistillationDataModule or leave it out"
        )
    if action != "roll_back":
        return
    if is_sharded(trainer):
        raise UserError(
            f"CollapseAlarm: action is 'roll_back', which cannot reload the weights that "
            f"{type(trainer.strategy).__name__} shards; choose 'stop' or 'warn'"
        )
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, WeightAveraging):
            raise UserError(
                f"CollapseAlarm: action is 'roll_back', but {type(callback).__name__} would keep "
                "the collapsed weights in its average; choose 'stop' or 'warn'"
            )


def _lower_base_rates(scheduler: Any, factor: float) -> None:
    """Lower what a schedule computes its rates from, and those that it consists of theirs."""
    if hasattr(scheduler, "base_lrs"):
        scheduler.base_lrs = [rate * factor for rate in scheduler.base_lrs]
    for part in getattr(scheduler, "_schedulers", ()):  # of SequentialLR and ChainedScheduler
        _lower_base_rates(part, factor)
