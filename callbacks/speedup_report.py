"""The measured speed-up at the end of a distillation: tables, report.json, figures."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from PIL import Image

from showo_turbo.data import DistillationDataModule, PromptFile, StorySource
from showo_turbo.data.streams import SpreadStream
from showo_turbo.errors import UserError
from showo_turbo.evaluation import (
    EvaluationData,
    EvaluationPlan,
    Report,
    ScoreCache,
    Share,
    TextRecord,
    make_console,
    report_figures,
    report_markdown,
    run,
    to_rich,
)
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.models.prompts import encode_prompts
from showo_turbo.models.protocols import ImageModel
from showo_turbo.models.registry import load_model
from showo_turbo.training.ranks import is_sharded
from showo_turbo.training.student_weights import (
    student_of,
    whole_image_tokenizer,
    whole_vision_encoder,
)
from showo_turbo.utils.files import write_text
from showo_turbo.viz.report_pictures import draw_report_pictures
from showo_turbo.viz.story_pictures import AskedStory, asked_stories, check_stories

from .curriculum import Curriculum
from .export_student import ExportStudent
from .sample_grid import log_picture

_Found = TypeVar("_Found", bound=Callback)


class SpeedupReport(Callback):
    """Measures teacher, stages and student when `fit` ends, and reports what was gained.

    The teacher (the model that the first stage began with) chooses its guidance on the validation
    prompts, at each number of steps. Then the teacher, the students after each stage and the final
    student sample the same test prompts with the same seeds, and teacher and student answer the
    same questions. Prompts of further files, such as combinations that training never showed, are
    reported on their own. How different the images of a prompt are is measured on as many of the
    test prompts as `variety_prompts` of the settings says.

    The prompts may be anybody's: they are judged by the checker of the plan, by its metrics, or by
    both. Without a checker the teacher chooses by the first metric; with neither it is sampled as
    in the first stage, and the report shows images, steps and milliseconds.

    Into `folder` go `report.json`, `report.csv`, `report.md`, `grid.png`, `quality_by_steps.png`,
    `film_strips/*.png` and, with `variety_prompts` in the settings, `variety.png`, with `abilities`
    `abilities-*.png`; of models of clips `film_strips/clips/*`, with `stories`
    `film_strips/stories/*`. The student's figures and the images also go to the loggers, as
    `report/`.
    Every score is kept in `scores` as soon as it is measured; resume a killed run with
    `--ckpt_path`, and the report goes on where it stopped. Runs that share the folder of scores,
    such as the trials of a sweep, measure a teacher that they share only once.

    Events: what could be wrong is looked for in `setup` and `on_fit_start`. In `on_fit_end` every
    process measures its share of the prompts and questions, and the first draws figures and writes
    while the others wait. Nothing happens under `fast_dev_run`. List it after `Curriculum`, which
    knows where the teachers are and how long the rounds took, and under a sharded strategy after
    `ExportStudent`, which gathers the student.

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
        settings: What is measured; where they do not say how to sample, decode and judge, as the
            module's `evaluation` does, which is also what is measured without any.
        models: Folder of the `teacher` and of the models between it and the student, by name;
            those of the `Curriculum` by default.
        folder: Where the report goes; `trainer.default_root_dir` by default.
        scores: Folder of the finished scores; `<folder>/report_scores` by default.
        film_strips: How many prompts get film strips, and how many of the stories are shown.
        stories: Held-out stories, the first of which teacher and student tell, such as
            `ShapesStories` with `split: test`; for models that tell stories.
    """

    def __init__(
        self,
        settings: EvaluationPlan | None = None,
        models: dict[str, Path] | None = None,
        folder: Path | None = None,
        scores: Path | None = None,
        film_strips: int = 2,
        stories: StorySource | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.models = models
        self.folder = folder
        self.scores = scores
        self.film_strips = film_strips
        self.stories = stories
        self._asked: list[AskedStory] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find out before the training whether prompts and callbacks fit.

        Raises:
            UserError: If they do not.
        """
        if stage != "fit" or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        plan = self.plan(pl_module)
        evaluation_data(trainer, plan, read_images=False).check(plan)
        if self.models is None:
            _preceding(trainer, self, Curriculum, "it knows where the teachers are")
        if self.stories is not None:
            self.stories.prepare()
            resolution = trainer.datamodule.resolution  # type: ignore[attr-defined]
            self._asked = asked_stories(self.stories, self.film_strips, resolution)
        if is_sharded(trainer):
            _preceding(trainer, self, ExportStudent, "it gathers the sharded student")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the settings and the prompts against the model, before it is trained.

        Raises:
            UserError: If there is no student, a number of steps is out of range, or a prompt is too
                long.
        """
        student, plan = student_of(pl_module, "SpeedupReport"), self.plan(pl_module)
        plan.check(student.config)
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        data = evaluation_data(trainer, plan, read_images=False)
        text_tokenizer: Any = pl_module.text_tokenizer
        for prompts in (data.choice, *data.prompts.values(), *data.further.values()):
            encode_prompts(student, text_tokenizer, [str(entry["prompt"]) for entry in prompts])
        if self._asked:
            check_stories(student, text_tokenizer, self._asked, plan.answering)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure, print and write."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            rank_zero_info("fast_dev_run: no speed-up report")
            return
        folder = self.folder or Path(trainer.default_root_dir)
        data, plan = evaluation_data(trainer, self.plan(pl_module)), self.plan(pl_module)
        models = self._models(trainer, pl_module)
        share = Share.of_this_process()
        cache = ScoreCache(self.scores or folder / "report_scores", share)
        report = run(models, data, plan, cache, share=share, progress=True)
        if trainer.is_global_zero:
            measured, began = report.seconds["validate"], time.perf_counter()
            report.seconds = self._seconds(trainer, measured)
            _write(report, folder)  # it is kept even if a figure cannot be drawn
            options: dict[str, Any] = {"film_strips": self.film_strips, "stories": self._asked}
            files = draw_report_pictures(models, data, plan, report, folder, **options)
            report.seconds = self._seconds(trainer, measured + time.perf_counter() - began)
            _write(report, folder)
            _log(trainer, report, folder, files)
            _show(report, [folder / "report.json", folder / "report.md", *files])
        trainer.strategy.barrier("speed-up report")

    def plan(self, module: LightningModule) -> EvaluationPlan:
        """What is measured of a module, with its own ways where the settings name none."""
        own = getattr(module, "evaluation", None)
        own = own if isinstance(own, EvaluationPlan) else EvaluationPlan()
        return own if self.settings is None else self.settings.filled_in(own)

    def _models(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, Callable[[], LoadedModel]]:
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
        loaders["student"] = partial(student_of, pl_module, "SpeedupReport")
        image_tokenizer = whole_image_tokenizer(trainer, pl_module)
        text_tokenizer: Any = pl_module.text_tokenizer
        vision_encoder = whole_vision_encoder(trainer, pl_module)
        if is_sharded(trainer):  # outside of a training step no process has all weights
            exported = _preceding(trainer, self, ExportStudent, "it gathers the student").folder
            assert exported is not None  # set in its setup
            loaders["student"] = partial(load_model, exported, family)
        device = trainer.strategy.root_device

        def load(network: Callable[[], ImageModel]) -> LoadedModel:
            # The strategy has moved the module to the CPU by now.
            return LoadedModel(
                network().to(device),
                image_tokenizer.to(device),
                text_tokenizer,
                vision_encoder=vision_encoder,
            )

        return {name: partial(load, network) for name, network in loaders.items()}

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
    trainer: Trainer, plan: EvaluationPlan, read_images: bool = True
) -> EvaluationData:
    """The DataModule's held-out prompts and questions, as many as the plan asks for.

    Args:
        trainer: With a `DistillationDataModule`; its own number of prompts is for validation.
        plan: How many of each.
        read_images: Whether to read the images of the questions.

    Raises:
        UserError: If the DataModule is another one, or a file is missing or damaged.
    """
    module = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(module, DistillationDataModule):
        raise UserError(
            f"SpeedupReport has data of the kind {type(module).__name__}; expected a "
            "DistillationDataModule, train on one or leave the callback out"
        )

    def read(path: Path, per_category: int | None) -> tuple[str, list[dict[str, Any]]]:
        file = PromptFile(path, per_category)
        return file.split, [file.draw(index, index)["metadata"] for index in range(len(file))]

    validation: list[dict[str, Any]] = []
    test: dict[str, list[dict[str, Any]]] = {}
    further: dict[str, list[dict[str, Any]]] = {}
    if module.prompts is not None:
        _, validation = read(module.prompts.validation, plan.validation_prompts_per_category)
        first, *others = module.prompts.test
        test = dict([read(first, plan.prompts_per_category)])
        further = dict(read(path, plan.unseen_prompts_per_category) for path in others)
    texts: list[TextRecord] = []
    if read_images and module.val_instructions is not None:
        stream = module.val_instructions.open(module.resolution)
        count = len(stream) if plan.text_records is None else plan.text_records
        chosen = SpreadStream(stream, count)
        for index in range(len(chosen)):
            item = chosen.draw(index, seed=index)
            texts.append(TextRecord(item["pixels"], item["question"], item["answer"]))
    return EvaluationData(test, validation, further, texts)


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


def _write(report: Report, folder: Path) -> None:
    """Write the numbers and the tables of a report."""
    report.write(folder)
    write_text(folder / "report.md", report_markdown(report))


def _log(trainer: Trainer, report: Report, folder: Path, files: Sequence[Path]) -> None:
    """Give the student's figures and the images to the loggers."""
    for logger in trainer.loggers:
        logger.log_metrics(report.scalars("report", seconds=True), trainer.global_step)
    for file in files:
        if file.suffix != ".png":  # clips in motion
            continue
        name = f"report/{file.relative_to(folder).with_suffix('').as_posix()}"
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))
        for logger in trainer.loggers:
            log_picture(logger, name, pixels, trainer.global_step)


def _show(report: Report, files: list[Path]) -> None:
    """Print the tables, the choice of guidance and where the files are."""
    console = make_console()
    console.print(to_rich(report_figures(report)))
    chosen = report.teacher_sampling if report.validation else {}
    for steps, sampling in chosen.items():
        console.print(f"chosen for the teacher at {steps} steps: {sampling}")
    for file in files:
        console.print(f"written: {file}")
