"""What metrics are called where their values are shown."""

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
