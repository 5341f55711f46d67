"""Images of the same prompts, generated again and again while a model trains."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from numpy.typing import NDArray

from showo_turbo.data import PromptFile
from showo_turbo.data.prompts import shown_prompts
from showo_turbo.errors import UserError
from showo_turbo.evaluation import EvaluationPlan, draw_images
from showo_turbo.evaluation.checker import judge
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.models.modes import evaluating
from showo_turbo.models.protocols import ImageModel
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.viz.pictures import GridColumn, draw_image_grid, mosaic


class SampleGrid(Callback):
    """Generates fixed prompts, with fixed seeds, as an image grid in the logger and as a PNG.

    A row a prompt, a column a sampling setting. Where the checker of the module's `evaluation` can
    judge the prompts, frames are green for satisfied ones and red for others.

    Events: `on_train_epoch_end`, every so many epochs. The logger gets the image `samples`: any
    whose experiment has `add_image` (TensorBoard) or `log_image` (MLflow), or that has `log_image`
    itself (such as Weights & Biases). The PNG with the prompts written next to the rows is
    `<folder>/epoch-<number>.png`.

    Works with any module that has a `student` or a `model` (`ShowoTurbo`, `PretrainShowo`), an
    `image_tokenizer` and a `text_tokenizer`. With several devices every process generates, which is
    what sharded strategies need, and the first writes.

    Example:
        YAML::

            trainer:
              callbacks:
                - class_path: SampleGrid
                  init_args:
                    every_n_epochs: 2
                    sampling_steps: [8, 4, 2]

    Args:
        prompts: Texts; by default the first validation prompt of each category of the DataModule,
            and others where these are few.
        every_n_epochs: How often to generate.
        sampling_steps: Steps of the module's own `sampling`, a column each.
        samplings: Instead of those, whole sampling settings, such as
            `{sampling_steps: 16, guidance_scale: 1.5}`.
        seed: Seed of the first prompt; the others follow.
        folder: Where the PNGs go; `<trainer.default_root_dir>/samples` by default.
    """

    def __init__(
        self,
        prompts: list[str] | None = None,
        every_n_epochs: int = 1,
        sampling_steps: tuple[int, ...] = (4, 2),
        samplings: tuple[ImageSampling, ...] | None = None,
        seed: int = 0,
        folder: Path | None = None,
    ) -> None:
        super().__init__()
        if every_n_epochs < 1:
            raise UserError(f"every_n_epochs is {every_n_epochs}; it must be at least 1")
        if not (sampling_steps if samplings is None else samplings) or prompts == []:
            raise UserError("SampleGrid has no prompts or no samplings; give at least one of each")
        self.prompts = prompts
        self.every_n_epochs = every_n_epochs
        self.sampling_steps = sampling_steps
        self.samplings = samplings
        self.seed = seed
        self.folder = folder
        self._metadata: list[dict[str, Any]] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look up the prompts, and check them and the settings against the model.

        Raises:
            UserError: If there are no prompts, one is too long or a setting is out of range.
        """
        network = _network(pl_module)
        for sampling in self._samplings(pl_module):
            sampling.check(network.config)
        if self.prompts is None:
            files = getattr(trainer.datamodule, "prompts", None)  # type: ignore[attr-defined]
            if files is None:
                raise UserError(
                    "SampleGrid has no prompts and the data has none to validate on; give it some "
                    "under `prompts`"
                )
            file = PromptFile(files.validation)
            every = [file.draw(index, index)["metadata"] for index in range(len(file))]
            self._metadata = [every[index] for index in shown_prompts(every)]
            self.prompts = [entry["prompt"] for entry in self._metadata]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Generate, when it is time."""
        epoch = trainer.current_epoch + 1
        if epoch % self.every_n_epochs:
            return
        assert self.prompts is not None  # set in on_fit_start
        columns = self._draw(trainer, pl_module, self.prompts)
        if not trainer.is_global_zero:
            return
        grid = mosaic(columns)
        for logger in trainer.loggers:
            log_picture(logger, "samples", grid, trainer.global_step)
        folder = self.folder or Path(trainer.default_root_dir) / "samples"
        draw_image_grid(self.prompts, columns, folder / f"epoch-{epoch:04d}.png")

    def _samplings(self, module: LightningModule) -> Sequence[ImageSampling]:
        """The settings: those given, or the module's own in so many steps."""
        if self.samplings is not None:
            return self.samplings
        own = getattr(module, "sampling", None)
        base = own if isinstance(own, ImageSampling) else ImageSampling()
        return [replace(base, sampling_steps=steps) for steps in self.sampling_steps]

    def _draw(
        self, trainer: Trainer, pl_module: LightningModule, prompts: Sequence[str]
    ) -> list[GridColumn]:
        network, image_tokenizer = _network(pl_module), pl_module.image_tokenizer
        assert isinstance(image_tokenizer, torch.nn.Module)
        seeds = range(self.seed, self.seed + len(prompts))
        columns = []
        # Hooks run outside of the precision plugin's context.
        with evaluating(network, image_tokenizer), trainer.precision_plugin.forward_context():
            bundle = LoadedModel(network, image_tokenizer, pl_module.text_tokenizer)  # type: ignore[arg-type]
            for sampling in self._samplings(pl_module):
                pixels = draw_images(bundle, prompts, sampling, seeds)
                title = f"{sampling.sampling_steps} steps\nguidance {sampling.guidance_scale:g}"
                columns.append(GridColumn(title, pixels, self._judge(pl_module, pixels)))
        return columns

    def _judge(self, module: LightningModule, pixels: torch.Tensor) -> Sequence[bool] | None:
        """Which images satisfy their prompts, if the module has a checker that can judge them."""
        plan = getattr(module, "evaluation", None)
        if self._metadata is None or not isinstance(plan, EvaluationPlan):
            return None
        try:
            return judge(plan.checker, pixels, self._metadata)
        except ValueError:  # images of a size that it does not know
            return None


def log_picture(logger: Logger, name: str, picture: NDArray[np.uint8], step: int) -> None:
    """Give an image to a logger that takes images; others are passed over.

    Args:
        logger: Any of Lightning's loggers.
        name: Name of the image.
        picture: RGB `(height, width, 3)`.
        step: The trainer's global step.
    """
    experiment: Any = getattr(logger, "experiment", None)
    if hasattr(experiment, "add_image"):
        experiment.add_image(name, picture, step, dataformats="HWC")
    elif hasattr(logger, "log_image"):
        logger.log_image(key=name, images=[picture], step=step)
    elif hasattr(experiment, "log_image"):
        experiment.log_image(getattr(logger, "run_id", None), picture, key=name, step=step)


def _network(module: LightningModule) -> ImageModel:
    """The network that is trained."""
    for name in ("student", "model"):
        network = getattr(module, name, None)
        if isinstance(network, ImageModel):
            return network
    raise UserError(
        f"SampleGrid looks for a student or a model to sample, but {type(module).__name__} has "
        "none; use it with ShowoTurbo or the pretraining of a family, or leave it out"
    )
