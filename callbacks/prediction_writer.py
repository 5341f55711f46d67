"""The images, clips and answers of `predict` as files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from PIL import Image

from showo_turbo.data.clip_writing import write_clip
from showo_turbo.utils.files import write_atomically, write_text
from showo_turbo.utils.text_files import json_lines


class PredictionWriter(BasePredictionWriter):
    """Writes what `showo-turbo predict` generates and answers, batch by batch.

    Into `folder` go `<split>-<index>.png` for every prompt, or `.gif` from a model of clips, and
    `predictions.jsonl` with a line for every prompt and question, in the order of the data.

    Example:
        YAML::

            trainer:
              callbacks:
                - class_path: PredictionWriter

    Args:
        folder: Where to write; `<trainer.default_root_dir>/predictions` by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(write_interval="batch")
        self.folder = folder
        self._entries: list[dict[str, Any]] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a new file."""
        self.folder = self.folder or Path(trainer.default_root_dir) / "predictions"
        self._entries = []

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Sequence[dict[str, Any]],
        *arguments: Any,
    ) -> None:
        """Write a batch; the first process does, since all predict the same."""
        if not trainer.is_global_zero:
            return
        assert self.folder is not None  # set in on_predict_start
        for entry in prediction:
            values = dict(entry)
            if isinstance(image := values.pop("image", None), Image.Image):
                values["file"] = f"{values['split']}-{values['index']:05d}.png"
                with write_atomically(self.folder / values["file"]) as temporary:
                    image.save(temporary, format="PNG")
            if (clip := values.pop("clip", None)) is not None:
                values["file"] = f"{values['split']}-{values['index']:05d}.gif"
                write_clip(self.folder / values["file"], clip)
            self._entries.append(values)
        write_text(self.folder / "predictions.jsonl", json_lines(self._entries))
