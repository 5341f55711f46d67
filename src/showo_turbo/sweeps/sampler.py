"""Optuna's sampler and pruner by a sweep's settings."""

from typing import TYPE_CHECKING

from .space import SearchSpace

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler


def make_sampler(space: SearchSpace) -> "BaseSampler":
    """The sampler: grid, random or TPE."""
    from optuna import samplers

    settings = space.settings
    if settings.sampler == "grid":
        return samplers.GridSampler(space.grid, seed=settings.seed)
    if settings.sampler == "random":
        return samplers.RandomSampler(seed=settings.seed)
    return samplers.TPESampler(seed=settings.seed)


def make_pruner(space: SearchSpace) -> "BasePruner":
    """The pruner: none, median or hyperband."""
    from optuna import pruners

    settings = space.settings.pruner
    if settings.name == "median":
        return pruners.MedianPruner(settings.startup_trials, settings.warmup_validations)
    if settings.name == "hyperband":
        return pruners.HyperbandPruner(min_resource=max(1, settings.warmup_validations))
    return pruners.NopPruner()
