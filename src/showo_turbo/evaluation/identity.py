"""What scores depend on besides a model, as JSON values that tell it from anything else."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from torchmetrics import Metric

from ..utils.hashing import fingerprint_lines, fingerprint_module, fingerprint_tensors
from .abilities import AbilityCase


def fingerprint_metric(metric: Metric) -> str:
    """Of a metric's options, weights and, such as the real images of `FID`, what it starts with."""
    metric.reset()
    states = [
        {name: value for name, value in part.metric_state.items() if not isinstance(value, list)}
        for part in metric.modules()
        if isinstance(part, Metric)
    ]
    parts = [fingerprint_module(metric), *map(fingerprint_tensors, states)]
    return fingerprint_lines([describe_options(metric), *parts])


def describe_options(owner: object) -> list[Any]:
    """The class of a checker or a metric, and its plain options."""
    plain = (str, int, float, bool, PurePath, tuple, type(None))
    values = vars(owner) if hasattr(owner, "__dict__") else {}
    options = {name: str(value) for name, value in values.items() if isinstance(value, plain)}
    shown = sorted((name, value) for name, value in options.items() if not name.startswith("_"))
    return [f"{type(owner).__module__}.{type(owner).__qualname__}", shown]


def fingerprint_cases(cases: Sequence[AbilityCase]) -> str:
    """Of all that a model sees of some cases, and what is asked of it."""
    rows = []
    for case in cases:
        tensors = {"pixels": case.pixels} | ({} if case.mask is None else {"mask": case.mask})
        asked = [case.ability, case.task, *case.prompts, *case.directions, case.offset]
        rows.append([*asked, fingerprint_tensors(tensors)])
    return fingerprint_lines(rows)
