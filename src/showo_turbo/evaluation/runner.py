"""Measures models with the same prompts, questions and seeds."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..errors import UserError
from ..inference.loaded_model import LoadedModel
from ..utils.share import Share
from .cache import ScoreCache
from .comparisons import compare
from .data import EvaluationData
from .environment import describe_hardware, source_version
from .images import choose_sampling
from .measurement import Measurement
from .plan import STUDENT, TEACHER, EvaluationPlan, ModelPlan
from .report import Report
from .tables import make_console
from .text import encode_records

Models = Mapping[str, Callable[[], LoadedModel]]
"""Loads each model, on the device that it is to run on: `teacher`, `stage1`, ..., `student`."""


def run(
    models: Models,
    data: EvaluationData,
    plan: EvaluationPlan,
    cache: ScoreCache | None = None,
    *,
    share: Share = Share(),
    progress: bool = False,
) -> Report:
    """Measure every model with the same prompts, questions and seeds.

    Where there are prompts to choose on, and something judges them, the teacher's way of sampling
    and its guidance are chosen first; see `EvaluationPlan`. To be called by all processes of the
    share.

    Args:
        models: The `student`, its `teacher` if it is measured, too, and in between the stages; one
            is loaded at a time. All have the same image tokenizer.
        data: What to ask; empty parts are left out.
        plan: What to measure.
        cache: Scores that an interrupted run has finished are taken from here.
        share: The samples that this process measures; the report holds those of all.
        progress: Whether to show progress bars and print the scores as they come.

    Returns:
        The report; of the seconds only those that were spent here (`validate`).

    Raises:
        UserError: If there is no student, there is a choice without a teacher, or nothing judges
            some of the prompts.
    """
    needed = (TEACHER, STUDENT) if data.choice else (STUDENT,)
    if missing := [name for name in needed if name not in models]:
        raise UserError(f"the models are {', '.join(models)}; expected a {missing[0]} among them")
    if "images" in plan.tables or "top_k" in plan.tables:
        data.check(plan)
    if plan.abilities:
        plan.ability_checker()
    cache = cache or ScoreCache(None, share)
    report = Report(commit=source_version())
    teacher_first = sorted(models, key=lambda name: name != TEACHER)
    with _bars(progress and share.is_first) as bars:
        for name in teacher_first:
            bundle = models[name]()
            if name == teacher_first[0]:
                data = _encoded(data, bundle, plan, share)
                report.settings = _describe(plan, data)
                report.hardware = describe_hardware(bundle.device)
            _measure(report, Measurement(name, bundle, plan, cache, share, bars), data)
    report.comparisons = compare(report)
    report.seconds = {"validate": round(cache.seconds, 1)}
    return report


def _measure(report: Report, measurement: Measurement, data: EvaluationData) -> None:
    """Add one model's scores."""
    name, plan = measurement.name, measurement.plan
    if name == TEACHER and data.choice and not plan.metrics and plan.checker is None:
        report.teacher_sampling = plan.own_teacher_sampling()
    elif name == TEACHER and data.choice:
        candidates = plan.teacher_candidates()
        report.validation = measurement.images("validation", data.choice, candidates)
        sweep = list(zip(candidates, report.validation, strict=True))
        report.teacher_sampling = choose_sampling(sweep, next(iter(plan.metrics), None))
    settings = ModelPlan.of(name, plan, report.teacher_sampling)
    for split, prompts in data.prompts.items():
        if "images" in plan.tables:
            varied = name in (TEACHER, STUDENT)
            report.images += measurement.images(split, prompts, settings.images, varied=varied)
        if "top_k" in plan.tables:
            report.top_k += measurement.images(split, prompts, settings.top_k)
    if "images" in plan.tables:
        for split, prompts in data.further.items():
            report.unseen_combinations += measurement.images(split, prompts, settings.further)
    if name in (TEACHER, STUDENT):
        report.abilities += measurement.abilities(settings.changing)
        if "text" in plan.tables:
            report.text += measurement.texts(data.texts)
        for benchmark, questions in data.questions.items():
            report.text += measurement.questions(benchmark, questions)


def _encoded(
    data: EvaluationData, bundle: LoadedModel, plan: EvaluationPlan, share: Share
) -> EvaluationData:
    """The data with the images of this process's questions encoded."""
    texts = list(data.texts)
    if not texts:
        return data
    own = share.indices(len(texts))
    batch = encode_records(bundle.image_encoder, [texts[i] for i in own], plan.batch_size)
    for index, record in zip(own, batch, strict=True):
        texts[index] = record
    return replace(data, texts=texts)


def _describe(plan: EvaluationPlan, data: EvaluationData) -> dict[str, object]:
    """The plan for the report, with the number of prompts and questions."""
    counts = {name: len(prompts) for name, prompts in data.prompts.items()}
    return plan.to_dict() | {
        "n_validation": len(data.choice),
        "n_test": sum(counts.values()),
        "n_further": {name: len(prompts) for name, prompts in data.further.items()},
        "n_text": len(data.texts),
    }


def _bars(show: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = make_console()
    console.quiet = not show
    return Progress(*columns, TimeElapsedColumn(), console=console, disable=not show)
