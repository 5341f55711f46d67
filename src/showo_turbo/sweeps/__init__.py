"""Sweeps over configurations, on Optuna: every trial is a run of `showo-turbo fit`."""

from .results import write_results
from .settings import PrunerSettings, SweepSettings
from .space import SearchSpace
from .study import Sweep

__all__ = ["PrunerSettings", "SearchSpace", "Sweep", "SweepSettings", "write_results"]
