"""The distilled model as a folder of its own."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from showo_turbo.errors import UserError
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding, decoding_of
from showo_turbo.training.measured import MeasuredModule
from showo_turbo.training.student_weights import student_of, write_student


class ExportStudent(Callback):
    """Writes the student when training ends, in the released layout, with all that belongs to it.

    The folder holds `config.json`, `pytorch_model.safetensors`, `tokenizer.json`, the folder
    `image_tokenizer`, the folder `vision_encoder` if it reads images through one,
    `generation_config.json` and a model card, and names no other folder: it can be moved and
    shared, and goes wherever a model id is taken:
    `ShowoPipeline.from_pretrained(folder)`, `showo-turbo generate --model <folder>`.

    Events: `on_train_end`, while sharded weights can still be gathered; and `on_fit_end`, for a run
    that is resumed after its last epoch and so trains no more.

    Example:
        YAML::

            trainer:
              callbacks:
                - class_path: ExportStudent
                  init_args:
                    folder: models/student

    Args:
        folder: Where to write; `<trainer.default_root_dir>/student` by default.
        sampling: Recommended for the student, if not the module's `sampling`. Written
            to `generation_config.json`, and so the default of `showo-turbo generate` and
            `ShowoPipeline.generate`.
        decoding: Recommended for the student, if not the module's `decoding`.
            Likewise the default of `showo-turbo answer` and `ShowoPipeline.answer`.
    """

    def __init__(
        self,
        folder: Path | None = None,
        sampling: ImageSampling | None = None,
        decoding: TextDecoding | None = None,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.sampling = sampling
        self.decoding = decoding
        self._exported = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Settle on the folder, before hours of training.

        Raises:
            UserError: If there is a file in its place.
        """
        if self.folder is None:
            self.folder = Path(trainer.default_root_dir) / "student"
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(
                f"{self.folder} is a file; expected a folder to export to, so name another"
            )
        self._exported = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that there is a student, and that it can sample and decode in this way.

        Raises:
            UserError: If there is none, or it cannot.
        """
        student = student_of(pl_module, "ExportStudent")
        sampling, decoding = self._options(pl_module)
        if sampling is not None:
            sampling.check(student.config)
        decoding = decoding_of(type(student), decoding)
        if decoding is not None:
            decoding.check()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the student."""
        self._export(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the student of a run that had nothing left to train."""
        if not self._exported:
            self._export(trainer, pl_module)

    def _options(self, module: LightningModule) -> tuple[ImageSampling | None, TextDecoding | None]:
        """How the student samples and decodes: as was said, or as the module says."""
        sampling, decoding = self.sampling, self.decoding
        if isinstance(module, MeasuredModule):
            sampling, decoding = sampling or module.sampling, decoding or module.decoding
        return sampling, decoding

    def _export(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert self.folder is not None  # set in setup
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            rank_zero_info("fast_dev_run: no student written")
            self._exported = True
            return
        write_student(self.folder, trainer, pl_module, *self._options(pl_module))
        self._exported = True
        rank_zero_info(f"student written to {self.folder}")
