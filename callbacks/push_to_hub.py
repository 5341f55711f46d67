"""The distilled model goes to the hub when a run has ended."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from showo_turbo.errors import UserError
from showo_turbo.hub import check_push, push_model

from .export_student import ExportStudent


class PushToHub(Callback):
    """Writes the exported student to the hub when `fit` ends, with a card made from the run.

    The name, the licence and the token are checked before anything is trained. A push that fails in
    the end does not fail the run: a warning says how to do it by hand.

    Events: `setup`, where all is checked; `on_fit_end`. Nothing happens under `fast_dev_run`. List
    it last, after `ExportStudent`, which writes the model, and `SpeedupReport`, whose figures the
    card has.

    Example:
        YAML::

            trainer:
              callbacks+:
                class_path: PushToHub
                init_args: {name: me/fast-model, license: apache-2.0}

    Args:
        name: What the model is called on the hub: `user/name`.
        license: Its licence, an identifier of the hub; not stated by default.
        private: Whether only its owner may see it.
        overwrite: Whether it may exist already.
    """

    def __init__(
        self, name: str, license: str | None = None, private: bool = False, overwrite: bool = False
    ) -> None:
        super().__init__()
        self.name = name
        self.license = license
        self.private = private
        self.overwrite = overwrite

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find out before the training what would end the push.

        Raises:
            UserError: If the name is malformed or taken, there is no token, or no `ExportStudent`
                comes before.
        """
        if stage != "fit" or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        self._exporter(trainer)
        if trainer.is_global_zero:
            check_push(self.name, self.license, self.overwrite)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Push."""
        if trainer.fast_dev_run or not trainer.is_global_zero:  # type: ignore[attr-defined]
            return
        folder = self._exporter(trainer).folder
        assert folder is not None  # set in its setup
        run = Path(trainer.default_root_dir)
        # A run's own folder tells what was measured.
        place = run if folder == run / "student" else folder
        try:
            address = push_model(place, self.name, self.license, self.private, self.overwrite)
        except UserError as error:
            rank_zero_warn(f"not pushed: {error}; by hand: showo-turbo push {place} {self.name}")
            return
        rank_zero_info(f"pushed to {address}")

    def _exporter(self, trainer: Trainer) -> ExportStudent:
        """What writes the model."""
        for other in trainer.callbacks:  # type: ignore[attr-defined]
            if other is self:
                break
            if isinstance(other, ExportStudent):
                return other
        raise UserError(
            "PushToHub needs ExportStudent listed before it, since it writes the model; add it to "
            "trainer.callbacks"
        )
