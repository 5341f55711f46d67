"""Sweeps over configurations, on Optuna: every trial is a run of `showo-turbo fit`."""

from ..errors import UserError

try:
    import optuna as _optuna  # noqa: F401
except ImportError:
    raise UserError(
        'sweeps need Optuna; install it with: pip install "showo-turbo[sweep]"'
    ) from None

from .results import write_results
from .settings import PrunerSettings, SweepSettings
from .space import SearchSpace
from .study import Sweep

__all__ = ["PrunerSettings", "SearchSpace", "Sweep", "SweepSettings", "write_results"]
