"""Optuna's sampler and pruner by a sweep's settings."""

from optuna import pruners, samplers

from .space import SearchSpace


def make_sampler(space: SearchSpace) -> samplers.BaseSampler:
    """The sampler: grid, random or TPE."""
    settings = space.settings
    if settings.sampler == "grid":
        return samplers.GridSampler(space.grid, seed=settings.seed)
    if settings.sampler == "random":
        return samplers.RandomSampler(seed=settings.seed)
    return samplers.TPESampler(seed=settings.seed)


def make_pruner(space: SearchSpace) -> pruners.BasePruner:
    """The pruner: none, median or hyperband."""
    settings = space.settings.pruner
    if settings.name == "median":
        return pruners.MedianPruner(settings.startup_trials, settings.warmup_validations)
    if settings.name == "hyperband":
        return pruners.HyperbandPruner(min_resource=max(1, settings.warmup_validations))
    return pruners.NopPruner()
