"""What an image tokenizer makes of the validation images."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from showo_turbo.errors import UserError
from showo_turbo.losses.image_tokenizer import signal_to_noise
from showo_turbo.models.magvitv2 import MAGVITv2
from showo_turbo.models.modes import evaluating
from showo_turbo.utils.files import write_json
from showo_turbo.viz.pictures import GridColumn, draw_image_grid, mosaic

from .sample_grid import log_picture


class ReconstructionGrid(Callback):
    """Shows validation images beside their reconstructions, with the scores of all of them.

    A row an image with its peak signal-to-noise ratio: the image, what the tokenizer makes of it,
    and where they differ (gray: nowhere).

    Events: the images are those of the first validation batch; in `on_validation_end` the logger
    gets the image `reconstructions`, and two files are written, `<folder>/step-<number>.png` and
    `<folder>/scores.json`, which holds what was logged under `val/` last. A sanity check is not
    shown.

    Example:
        YAML::

            trainer:
              callbacks:
                - class_path: ReconstructionGrid

    Args:
        images: How many are shown at most.
        folder: Where the files go; `<trainer.default_root_dir>/reconstructions` by default.
    """

    def __init__(self, images: int = 8, folder: Path | None = None) -> None:
        super().__init__()
        if images < 1:
            raise UserError(f"images of ReconstructionGrid is {images}; it must be at least 1")
        self.images = images
        self.folder = folder
        self._columns: list[GridColumn] = []
        self._captions: list[str] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that the module trains an image tokenizer.

        Raises:
            UserError: If it does not.
        """
        if not hasattr(pl_module, "tokenizer_config"):
            raise UserError(
                f"ReconstructionGrid shows what an image tokenizer makes of images, but "
                f"{type(pl_module).__name__} trains none; use it with PretrainMAGVITv2, or leave "
                "it out"
            )

    @torch.no_grad()
    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *numbers: int
    ) -> None:
        """Keep the first images and their reconstructions."""
        if trainer.sanity_checking or any(numbers) or not trainer.is_global_zero:
            return
        network = pl_module.model
        assert isinstance(network, MAGVITv2)
        pixels = batch["pixels"][: self.images]
        with evaluating(network):
            decoded = network.decode(network.encode(pixels), network.grid_of(pixels)).float()
        difference = (decoded - pixels) / 2
        self._columns = [
            GridColumn(title, shown.cpu())
            for title, shown in (
                ("image", pixels),
                ("reconstruction", decoded),
                ("difference", difference),
            )
        ]
        self._captions = [f"{value:.1f} dB" for value in signal_to_noise(decoded, pixels).tolist()]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and log the grid, and write the scores."""
        if not self._columns:
            return
        for logger in trainer.loggers:
            log_picture(logger, "reconstructions", mosaic(self._columns), trainer.global_step)
        folder = self.folder or Path(trainer.default_root_dir) / "reconstructions"
        path = folder / f"step-{trainer.global_step:06d}.png"
        draw_image_grid(self._captions, self._columns, path)
        scores = {
            name.removeprefix("val/"): float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith("val/")
        }
        write_json(folder / "scores.json", {"step": trainer.global_step, **scores})
        self._columns = []
