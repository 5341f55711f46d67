"""What a sweep file says."""

from dataclasses import dataclass, field
from typing import Any, Literal

SEED = "seed_everything"
"""The key whose values are repetitions of one setting, unless a sweep names others."""


@dataclass(frozen=True)
class PrunerSettings:
    """When a trial is given up before its end.

    Args:
        name: `none`; `median` ends a trial that is worse than the median of the others at the same
            validation; `hyperband` gives most time to the best of many short trials.
        startup_trials: Trials that are never ended, for the others to be compared with.
        warmup_validations: Validations of each trial before it may be ended.
    """

    name: Literal["none", "median", "hyperband"] = "none"
    startup_trials: int = 5
    warmup_validations: int = 1


@dataclass(frozen=True)
class SweepSettings:
    """What is varied, how it is chosen, and by what it is judged.

    Keys are dotted keys of the experiment's configuration, such as
    `model.init_args.losses.language.init_args.weight` or
    `trainer.callbacks.Curriculum.init_args.stages.0.image_segments`.

    Args:
        study: Name of the study. Machines that work on one database meet under it.
        metric: Logged validation metric that judges a trial, by its last value.
        direction: Whether the metric should become large or small.
        sampler: `grid` tries every combination of choices, `random` draws, `tpe` learns from the
            trials so far.
        parameters: What is varied: key -> list of choices, or `{low, high}` for a range, if wanted
            with `log: true` or `step`; a range of whole numbers gives whole numbers.
        variants: Named sets of keys and values that go together; one of them is chosen for each
            trial, like a parameter with the key `variant`.
        overrides: Keys that are set in all trials.
        trials: How many trials, with all machines together; a grid is always tried whole.
        pruner: When a trial is given up before its end.
        seed: Of the sampler.
        average_over: Parameters whose values are repetitions of one setting, such as
            `data.init_args.seed`; the table gives mean and deviation over them.
    """

    study: str
    metric: str
    direction: Literal["maximize", "minimize"] = "maximize"
    sampler: Literal["grid", "random", "tpe"] = "tpe"
    parameters: dict[str, Any] = field(default_factory=dict)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    trials: int = 20
    pruner: PrunerSettings = PrunerSettings()
    seed: int = 0
    average_over: list[str] = field(default_factory=lambda: [SEED])
