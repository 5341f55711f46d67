"""The measured speed-up at the end of a distillation: tables, report.json, pictures."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from showo_turbo.data import DistillationDataModule, PromptFile
from showo_turbo.errors import UserError
from showo_turbo.evaluation import (
    EvaluationData,
    Report,
    ScoreCache,
    SpeedupSettings,
    TextRecord,
    make_console,
    measure_speedup,
    report_figures,
    report_markdown,
    target_figures,
    to_rich,
)
from showo_turbo.models.magvitv2 import MAGVITv2
from showo_turbo.models.protocols import ImageModel
from showo_turbo.models.registry import load_model
from showo_turbo.shapes.prompts import Prompt
from showo_turbo.text_tokenizer import TextTokenizer
from showo_turbo.training.measured_student import MeasuredStudent
from showo_turbo.training.student_weights import is_sharded, student_of
from showo_turbo.utils.files import write_atomically
from showo_turbo.viz.report_pictures import draw_report_pictures

from .curriculum import Curriculum
from .export_student import ExportStudent

_Found = TypeVar("_Found", bound=Callback)


class SpeedupReport(Callback):
    """Measures teacher, stages and student when `fit` ends, and reports what was gained.

    The teacher (the model that the first stage began with) chooses its guidance on the validation
    prompts, at each number of steps. Then the teacher, the students after each stage and the final
    student draw the same test prompts with the same seeds, and teacher and student answer the same
    questions. Prompts of further files, such as combinations that training never showed, are
    reported on their own.

    Into `folder` go `report.json`, `report.csv`, `report.md`, `grid.png`, `quality_by_steps.png`
    and `film_strips/*.png`. Every score is kept in `folder/report_scores` as soon as it is
    measured; resume a killed run with `--ckpt_path`, and the report goes on where it stopped.

    Events: what could be wrong is looked for in `setup` and `on_fit_start`, the work is done in
    `on_fit_end` by the first process; the others wait. Nothing happens under `fast_dev_run`. List
    it after `Curriculum`, which tells it where the teachers are and how long the rounds took, and
    under a sharded strategy after `ExportStudent`, which gathers the student.

    Example:
        YAML::

            trainer:
              callbacks:
                - class_path: SpeedupReport
                  init_args:
                    settings:
                      sampling_steps: [16, 8, 4, 2]
                      guidance_candidates: [0, 1, 2, 3]
                      prompts_per_category: 50

    Args:
        settings: What is measured; where they do not say how to sample and decode, as the module
            does.
        models: Folder of the `teacher` and of the models between it and the student, by name;
            those of the `Curriculum` by default.
        folder: Where the report goes; `trainer.default_root_dir` by default.
        film_strips: How many prompts get film strips.
    """

    def __init__(
        self,
        settings: SpeedupSettings = SpeedupSettings(),
        models: dict[str, Path] | None = None,
        folder: Path | None = None,
        film_strips: int = 2,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.models = models
        self.folder = folder
        self.film_strips = film_strips

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find out before the training whether prompts and callbacks fit.

        Raises:
            UserError: If they do not.
        """
        if stage != "fit" or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        data = evaluation_data(trainer, self.settings, read_images=False)
        further = [entry for prompts in data.further.values() for entry in prompts]
        for entry in (*data.validation, *data.test[1], *further):
            Prompt.from_metadata(dict(entry))  # what the checker cannot read, it cannot judge
        if self.models is None:
            _preceding(trainer, self, Curriculum, "it knows where the teachers are")
        if is_sharded(trainer):
            _preceding(trainer, self, ExportStudent, "it gathers the sharded student")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the settings against the model.

        Raises:
            UserError: If there is no student, or a number of steps is out of range.
        """
        student = student_of(pl_module, "SpeedupReport")
        self._filled_in(pl_module).check(student)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure, print and write."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            rank_zero_info("fast_dev_run: no speed-up report")
            return
        if trainer.is_global_zero:
            self._report(trainer, pl_module)
        trainer.strategy.barrier("speed-up report")

    def _report(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder = self.folder or Path(trainer.default_root_dir)
        device = trainer.strategy.root_device
        image_tokenizer, text_tokenizer = pl_module.image_tokenizer, pl_module.text_tokenizer
        assert isinstance(image_tokenizer, MAGVITv2) and isinstance(text_tokenizer, TextTokenizer)
        # The strategy has moved the module to the CPU by now.
        image_tokenizer.to(device)
        data = evaluation_data(trainer, self.settings)
        loaders = self._loaders(trainer, pl_module)
        models = {name: partial(_load_on, device, load) for name, load in loaders.items()}
        settings = self._filled_in(pl_module)
        networks = (models, image_tokenizer, text_tokenizer, data, settings)
        report = measure_speedup(*networks, ScoreCache(folder / "report_scores"))
        began = time.perf_counter()
        pictures = draw_report_pictures(*networks, report, folder, film_strips=self.film_strips)
        pictures_seconds = time.perf_counter() - began
        report.seconds = self._seconds(trainer, report.seconds["validate"] + pictures_seconds)
        report.write(folder)
        with write_atomically(folder / "report.md") as temporary:
            temporary.write_text(report_markdown(report), encoding="utf-8")
        _show(report, [folder / "report.json", folder / "report.md", *pictures])

    def _filled_in(self, module: LightningModule) -> SpeedupSettings:
        """The settings, with the module's ways of sampling and decoding where they name none."""
        if not isinstance(module, MeasuredStudent):
            return self.settings
        return self.settings.filled_in(module.sampling, module.teacher_sampling, module.decoding)

    def _loaders(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, Callable[[], ImageModel]]:
        """How to load each model: the teacher, the stages between, the student."""
        folders = dict(self.models or {})
        if self.models is None:
            curriculum = _preceding(trainer, self, Curriculum, "it knows where the teachers are")
            # A run that was stopped early has not begun all stages.
            teachers = [path for path in curriculum.stage_teachers() if path.is_dir()]
            folders = {f"stage{i}" if i else "teacher": path for i, path in enumerate(teachers)}
        family = getattr(pl_module, "family", None)
        loaders: dict[str, Callable[[], ImageModel]] = {
            name: partial(load_model, path, family) for name, path in folders.items()
        }
        if is_sharded(trainer):
            exported = _preceding(trainer, self, ExportStudent, "it gathers the student").folder
            assert exported is not None  # set in its setup
            return loaders | {"student": partial(load_model, exported, family)}
        return loaders | {"student": partial(student_of, pl_module, "SpeedupReport")}

    def _seconds(self, trainer: Trainer, validate: float) -> dict[str, Any]:
        """Wall clock of the phases, as the DataModule and the curriculum tell."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        told: dict[str, list[float]] = {}
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Curriculum):
                told = callback.clock.seconds
        return {
            "data": round(data.preparation_seconds, 1),
            "collect": [round(seconds, 1) for seconds in told.get("collect", [])],
            "fit": [round(seconds, 1) for seconds in told.get("fit", [])],
            "validate": round(validate, 1),
        }


def evaluation_data(
    trainer: Trainer, settings: SpeedupSettings, read_images: bool = True
) -> EvaluationData:
    """The DataModule's held-out prompts and questions, as many as the settings ask for.

    Args:
        trainer: With a `DistillationDataModule`; its own number of prompts is for validation.
        settings: How many of each.
        read_images: Whether to read the images of the questions.

    Raises:
        UserError: If the DataModule is another one, or a file is missing or damaged.
    """
    module = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(module, DistillationDataModule):
        raise UserError(
            f"SpeedupReport needs a DistillationDataModule, not {type(module).__name__}"
        )

    def read(path: Path, per_category: int | None) -> tuple[str, list[dict[str, Any]]]:
        file = PromptFile(path, per_category)
        return file.split, [file.draw(index, index)["metadata"] for index in range(len(file))]

    validation: list[dict[str, Any]] = []
    test: tuple[str, list[dict[str, Any]]] = ("test", [])
    further: dict[str, list[dict[str, Any]]] = {}
    if module.prompts is not None:
        count = settings.validation_prompts_per_category
        _, validation = read(module.prompts.validation, count)
        first, *others = module.prompts.test
        test = read(first, settings.prompts_per_category)
        further = dict(read(path, settings.unseen_prompts_per_category) for path in others)
    texts: list[TextRecord] = []
    if read_images and module.val_instructions is not None:
        stream = module.val_instructions.open(module.resolution)
        count = len(stream) if settings.text_records is None else settings.text_records
        count = min(count, len(stream))
        for position in range(count):
            index = position * len(stream) // count
            item = stream.draw(index, seed=index)
            texts.append(TextRecord(item["pixels"], item["question"], item["answer"]))
    return EvaluationData(validation, test, further, texts)


def _load_on(device: torch.device, load: Callable[[], ImageModel]) -> ImageModel:
    return load().to(device).eval()


def _preceding(trainer: Trainer, callback: Callback, kind: type[_Found], why: str) -> _Found:
    """The callback of a kind that comes before another."""
    for other in trainer.callbacks:  # type: ignore[attr-defined]
        if other is callback:
            break
        if isinstance(other, kind):
            return other
    raise UserError(
        f"SpeedupReport needs {kind.__name__} listed before it, since {why}; add it to "
        "trainer.callbacks"
    )


def _show(report: Report, files: list[Path]) -> None:
    """Print the tables, the choice of guidance and where the files are."""
    console = make_console()
    console.print(to_rich([*report_figures(report), target_figures(report.targets)]))
    for steps, sampling in report.teacher_sampling.items():
        console.print(f"chosen for the teacher at {steps} steps: {sampling}")
    for file in files:
        console.print(f"written: {file}")
