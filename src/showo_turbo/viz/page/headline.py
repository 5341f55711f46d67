"""The result of a run in one sentence."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...evaluation.image_scores import ImageScore
from ...evaluation.plan import STUDENT, TEACHER
from ..pictures import of_quality

KEPT = 0.95
"""The share of the teacher's quality that a student is to keep."""


def headline(images: Sequence[ImageScore], text: Sequence[Mapping[str, Any]]) -> str:
    """What the student keeps of its teacher, and how much faster it is.

    The student is shown with the fewest steps that keep 95% of the quality of the teacher in most
    steps, or else with those that keep most; without any quality, with its second fewest steps.

    Args:
        images: Scores of images on one set of prompts, those of a checker or of a metric.
        text: Scores of answers, as `TextScore.to_dict` gave them.

    Returns:
        One sentence, empty if nothing was measured.
    """
    parts = [_of_images(images), _of_answers(text)]
    found = "; ".join(part for part in parts if part)
    return found[:1].upper() + found[1:] + "." if found else ""


def _of_images(images: Sequence[ImageScore]) -> str:
    students = [row for row in images if row.model == STUDENT]
    teachers = [row for row in images if row.model == TEACHER]
    if not students:
        return ""
    quality = of_quality([*teachers, *students])
    metric = None if quality is None else quality[1]
    students = [row for row in students if quality is None or row in quality[0]]
    teachers = [row for row in teachers if quality is None or row in quality[0]]
    if not students:
        return ""
    if quality is None:
        chosen = sorted(students, key=lambda row: row.steps)[:2][-1]
        base = _best(teachers, lambda row: -row.guidance)
        return ", ".join(filter(None, [_steps(chosen), _faster(chosen, base)]))

    def value(row: ImageScore) -> float:
        return row.score if metric is None else row.metrics[metric]

    base = _best(teachers, value) if metric is None else _best(teachers, lambda row: -row.guidance)
    if base is None:
        chosen = min(students, key=lambda row: row.steps)
        return ", ".join(filter(None, [_steps(chosen) + f": {_plainly(chosen, metric)}"]))
    whole = value(base)
    if metric is not None:
        chosen = min(students, key=lambda row: (abs(value(row) - whole), row.steps))
        kept = f"{_plainly(chosen, metric)} where the teacher has {whole:.4g} in {base.steps}"
    else:
        enough = [row for row in students if value(row) >= KEPT * whole]
        chosen = (
            min(enough, key=lambda row: (row.steps, -value(row)))
            if enough
            else max(students, key=lambda row: (value(row), -row.steps))
        )
        share = f"{value(chosen) / whole:.0%} of" if whole else "more than"
        kept = f"{share} the teacher's quality in {base.steps}"
    return ", ".join(filter(None, [f"{_steps(chosen)}: {kept}", _faster(chosen, base)]))


def _of_answers(text: Sequence[Mapping[str, Any]]) -> str:
    """How much faster answers are, against the teacher's own way or else the student's.

    A model that denoises its text has no autoregressive way: there it is student against teacher.
    """
    timed = [row for row in text if row.get("tokens_per_second")]
    own = [row for row in timed if row["model"] == STUDENT and row["decoding"] != "ar"]
    plain = [row for row in timed if row["decoding"] == "ar"]
    plain = plain or [row for row in timed if row["model"] == TEACHER]
    if not plain or not own:
        return ""
    base = next((row for row in plain if row["model"] == TEACHER), plain[0])
    best = max(own, key=lambda row: float(row["tokens_per_second"]))
    ratio = best["tokens_per_second"] / base["tokens_per_second"]
    each = f"{best['tokens_per_forward']:.1f} tokens a forward pass"
    return f"answers {ratio:.1f} times as fast, {each}"


def _best(rows: Sequence[ImageScore], value: Callable[[ImageScore], float]) -> ImageScore | None:
    """The best row among those with most steps."""
    most = max((row.steps for row in rows), default=0)
    return max((row for row in rows if row.steps == most), key=value, default=None)


def _steps(row: ImageScore) -> str:
    return f"{row.steps} step{'s' if row.steps > 1 else ''}"


def _plainly(row: ImageScore, metric: str | None) -> str:
    if metric is None:
        return f"{row.score:.0%} of the prompts satisfied"
    return f"{metric} {row.metrics[metric]:.4g}"


def _faster(row: ImageScore, base: ImageScore | None) -> str:
    """How much faster than the teacher; how long it takes where that is not known."""
    own = row.seconds_per_image
    if own is None:
        return ""
    if base is None or base.seconds_per_image is None:
        return f"{1000 * own:.3g} ms an image"
    return f"{base.seconds_per_image / own:.2g} times as fast"
