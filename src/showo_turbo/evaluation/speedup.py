"""Measures a distillation: teacher, stages and student, with the same prompts and questions."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..errors import UserError
from ..models.magvitv2 import MAGVITv2
from ..models.protocols import ImageModel
from ..text_tokenizer import TextTokenizer
from ..utils.hashing import fingerprint_lines, fingerprint_module
from .cache import ScoreCache
from .comparisons import compare
from .environment import describe_hardware, source_version
from .images import choose_sampling
from .measurement import Measurement
from .report import Report
from .speedup_settings import EvaluationData, SamplingPlan, SpeedupSettings
from .targets import STUDENT, TEACHER
from .text import encode_records

Models = Mapping[str, Callable[[], ImageModel]]
"""Loads each model, on the device that it is to run on: `teacher`, `stage1`, ..., `student`."""


def measure_speedup(
    models: Models,
    image_tokenizer: MAGVITv2,
    text_tokenizer: TextTokenizer,
    data: EvaluationData,
    settings: SpeedupSettings,
    cache: ScoreCache,
    *,
    progress: bool = True,
) -> Report:
    """Measure every model with the same prompts, questions and seeds.

    The teacher's way of sampling and its guidance are chosen first, on the validation prompts. Then
    the teacher is scored with and without guidance, the stages and the student without; see
    `SpeedupSettings`.

    Args:
        models: `teacher` and `student`, and in between the stages; one is loaded at a time.
        image_tokenizer: On the models' device.
        text_tokenizer: The models' text tokenizer.
        data: What to ask; empty parts are left out.
        settings: What to measure.
        cache: Scores that an interrupted run has finished are taken from here.
        progress: Whether to show progress bars and print the scores as they come.

    Returns:
        The report; of the seconds only those that were spent here (`validate`).

    Raises:
        UserError: If a model is missing, or there are no prompts for the teacher's choice.
    """
    if missing := [name for name in (TEACHER, STUDENT) if name not in models]:
        raise UserError(f"the models are {', '.join(models)}; expected a {missing[0]} among them")
    if data.test[1] and not data.validation:
        raise UserError(
            "there are test prompts but none for validation; the teacher's way of sampling is "
            "chosen on those, so give some"
        )
    data = replace(data, texts=encode_records(image_tokenizer, data.texts, settings.batch_size))
    tokenizers = [fingerprint_module(image_tokenizer), text_tokenizer.tokenizer.to_str()]
    report = Report(
        settings=_describe(settings, data),
        hardware=describe_hardware(next(image_tokenizer.parameters()).device),
        commit=source_version(),
    )
    with _bars(progress) as bars:
        for name in (TEACHER, *(name for name in models if name != TEACHER)):
            model = models[name]()
            fingerprint = fingerprint_lines([fingerprint_module(model), *tokenizers])
            measurement = Measurement(
                name, model, fingerprint, image_tokenizer, text_tokenizer, settings, cache, bars
            )
            if name == TEACHER:
                candidates = settings.teacher_candidates() if data.validation else []
                sweep = measurement.images("validation", data.validation, candidates)
                report.teacher_sampling = choose_sampling(list(zip(candidates, sweep, strict=True)))
                report.validation = sweep
            plan = SamplingPlan.of(name, settings, report.teacher_sampling)
            report.images += measurement.images(*data.test, plan.test)
            for split, prompts in data.further.items():
                report.unseen_combinations += measurement.images(split, prompts, plan.further)
            if data.texts and name in (TEACHER, STUDENT):
                report.text += measurement.texts(data.texts)
    report.comparisons = compare(report)
    report.seconds = {"validate": round(cache.seconds, 1)}
    return report


def _describe(settings: SpeedupSettings, data: EvaluationData) -> dict[str, Any]:
    """The settings for the report, with the number of prompts and questions."""
    counts = {
        "n_validation": len(data.validation),
        "n_test": len(data.test[1]),
        "n_further": {name: len(prompts) for name, prompts in data.further.items()},
        "n_text": len(data.texts),
    }
    return asdict(settings) | counts


def _bars(show: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(
        *columns, TimeElapsedColumn(), console=Console(quiet=not show), disable=not show
    )
