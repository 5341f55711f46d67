"""What metrics are called where their values are shown."""

import inspect
from collections.abc import Sequence
from typing import Any

from torchmetrics import Metric

from ..errors import UserError


class NamedMetric(Metric):
    """Base of metrics that may be measured twice, such as with the weights of two versions.

    Args:
        name: What tables call it; the name of its class if not given.
    """

    def __init__(self, name: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._shown_as = name

    @property
    def name(self) -> str:
        """What tables call it."""
        return self._shown_as or type(self).__name__


def check_metrics(metrics: Sequence[Metric]) -> None:
    """Raise on metrics of images that cannot be updated, or told apart.

    Raises:
        UserError: If `update` of one does not take pixels and metadata, or two have one name.
    """
    metric_names(metrics)
    for metric in metrics:
        signature = inspect.signature(metric.update)
        try:
            signature.bind(None, None)
        except TypeError:
            raise UserError(
                f"update of the metric {type(metric).__name__} has the arguments {signature}; "
                "expected the images and the metadata of their prompts, change it to "
                "update(pixels, prompts)"
            ) from None


def metric_value(metric: Metric) -> float:
    """What a metric has computed.

    Raises:
        UserError: If it is not a single number.
    """
    value = metric.compute()
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise UserError(
            f"the metric {type(metric).__name__} computes {type(value).__name__} of shape "
            f"{tuple(getattr(value, 'shape', ()))}; expected a single number, reduce it"
        ) from None


def metric_names(metrics: Sequence[Metric]) -> list[str]:
    """What tables call these metrics: their `name`, or the name of their class.

    Raises:
        UserError: If two have the same.
    """
    names = [str(getattr(metric, "name", type(metric).__name__)) for metric in metrics]
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"{names.count(name)} metrics are called {name!r}; expected a name of its own for "
                "each, set `name` of all but one"
            )
    return names
