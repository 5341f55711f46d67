"""The space of a sweep: from its file to the configuration of a trial."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..utils.dotted_keys import flatten, with_value
from .settings import SEED, SweepSettings

if TYPE_CHECKING:
    from optuna import Trial

VARIANT = "variant"
"""The parameter that chooses among the sweep's variants."""

ROOT_KEY = "trainer.default_root_dir"

OF_THE_MACHINE = ("accelerator", "devices", "num_nodes", "strategy")
"""Parts of `trainer` in which machines that work on one study may differ."""

Choice = None | bool | int | float | str


class SearchSpace:
    """What the trials of a sweep differ in.

    Args:
        settings: The sweep file.
        config: The experiment's whole configuration, with all defaults.

    Attributes:
        choices: The choices of each parameter that has some, by a label that a study can store.
            Studies number them, so their order is that of the labels, not that of the sweep file.
        ranges: `low`, `high`, `log` and `step` of each other parameter.
        base: The configuration with the sweep's overrides.

    Raises:
        UserError: If a key does not exist, a parameter has no choices or no proper range, a grid
            has a range, or `average_over` names what is not varied.
    """

    def __init__(self, settings: SweepSettings, config: dict[str, Any]) -> None:
        self.settings = settings
        self.choices: dict[str, dict[Choice, Any]] = {}
        self.ranges: dict[str, dict[str, Any]] = {}
        for key, described in settings.parameters.items():
            if isinstance(described, list) and described:
                self.choices[key] = _by_label({_label(value): value for value in described})
            elif isinstance(described, dict):
                self.ranges[key] = _checked_range(key, described)
            else:
                raise UserError(
                    f"the sweep's parameter {key} is {described!r}; expected a list of choices, or "
                    "low and high"
                )
        if settings.variants:
            self.choices[VARIANT] = _by_label({name: name for name in settings.variants})
        if not self.choices and not self.ranges:
            raise UserError("the sweep varies nothing; give it parameters or variants")
        if settings.sampler == "grid" and self.ranges:
            raise UserError(
                f"a grid needs choices, but {next(iter(self.ranges))} is a range; list its values, "
                "or choose the sampler random or tpe"
            )
        for key in settings.average_over:
            if key != SEED and key not in self.choices and key not in self.ranges:
                raise UserError(
                    f"average_over names {key!r}, which the sweep does not vary; expected some of "
                    f"{', '.join([*self.choices, *self.ranges])}"
                )
        for key in self._all_keys():
            with_value(config, key, None)
        self._experiment = config
        self.base = _with_values(config, settings.overrides)

    @property
    def grid(self) -> dict[str, list[Choice]]:
        """The labels of every parameter's choices."""
        return {key: list(labels) for key, labels in self.choices.items()}

    @property
    def grid_size(self) -> int:
        """Number of combinations of choices."""
        return math.prod(len(labels) for labels in self.choices.values())

    def describe(self) -> dict[str, Any]:
        """What must not change in the life of a study, as flat JSON values."""
        settings = self.settings
        varied: dict[str, Any] = {
            "metric": settings.metric,
            "direction": settings.direction,
            "sampler": settings.sampler,
            "variants": settings.variants,
            "overrides": settings.overrides,
        }
        if settings.sampler == "grid":
            varied["seed"] = settings.seed  # numbers the points
        chosen = {key: list(self.choices.get(key, ())) for key in settings.parameters}
        parameters = {f"parameters.{key}": value for key, value in (chosen | self.ranges).items()}
        machine = tuple(f"trainer.{name}" for name in OF_THE_MACHINE)
        experiment = {
            f"experiment.{key}": value
            for key, value in flatten(self.base).items()
            if key not in settings.parameters and not key.startswith(machine)
        }
        plain: dict[str, Any] = json.loads(json.dumps(varied | parameters | experiment))
        return plain

    def changed_since(self, described: Mapping[str, Any]) -> list[str]:
        """The keys of `describe` that differ from an earlier description."""
        before, now = (
            {key: json.dumps(value, sort_keys=True) for key, value in description.items()}
            for description in (described, self.describe())
        )
        return [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]

    def suggest(self, trial: "Trial") -> dict[str, Any]:
        """Let a study choose the parameters of a trial."""
        chosen: dict[str, Any] = {
            key: trial.suggest_categorical(key, list(labels))
            for key, labels in self.choices.items()
        }
        for key, options in self.ranges.items():
            whole = isinstance(options["low"], int) and isinstance(options["high"], int)
            suggest = trial.suggest_int if whole else trial.suggest_float
            chosen[key] = suggest(key, **options)
        return chosen

    def configuration(self, chosen: Mapping[str, Any], folder: str) -> dict[str, Any]:
        """The configuration of a trial.

        Paths inside the experiment's `trainer.default_root_dir` move to the trial's folder. Those
        that the sweep itself names stay: a trial may begin with what the experiment has left.

        Args:
            chosen: What `suggest` gave.
            folder: The trial's folder.
        """
        values = dict(self.settings.overrides)
        if VARIANT in chosen and self.settings.variants:
            values |= self.settings.variants[chosen[VARIANT]]
        for key, label in chosen.items():
            if key in self.ranges:
                values[key] = label
            elif key != VARIANT or not self.settings.variants:
                values[key] = self.choices[key][label]
        root = (self._experiment.get("trainer") or {}).get("default_root_dir")
        config = _moved(self._experiment, root, folder) if root else self._experiment
        return with_value(_with_values(config, values), ROOT_KEY, folder)

    def examples(self) -> Iterator[dict[str, Any]]:
        """Choices that together show every value of the space at least once, as few as possible."""
        values = {key: list(labels) for key, labels in self.choices.items()}
        values |= {key: [options["low"], options["high"]] for key, options in self.ranges.items()}
        for index in range(max(map(len, values.values()), default=1)):
            yield {key: shown[index % len(shown)] for key, shown in values.items()}

    def _all_keys(self) -> Iterator[str]:
        yield ROOT_KEY
        yield from self.settings.parameters
        yield from self.settings.overrides
        for values in self.settings.variants.values():
            yield from values


def _with_values(config: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in values.items():
        config = with_value(config, key, value)
    return config


def _label(value: Any) -> Choice:
    """What stands for a choice in a study: itself, or its JSON if it is not a plain value."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return json.dumps(value, sort_keys=True)


def _by_label(choices: dict[Choice, Any]) -> dict[Choice, Any]:
    return dict(sorted(choices.items(), key=lambda choice: json.dumps(choice[0])))


def _checked_range(key: str, described: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(described) - {"low", "high", "log", "step"})
    low, high = described.get("low"), described.get("high")
    proper = all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in (low, high))
    if unknown or not proper or not low < high:  # type: ignore[operator]
        raise UserError(
            f"the sweep's parameter {key} is {described!r}; expected numbers low < high, and "
            "beside them at most log and step"
        )
    if described.get("log") and low <= 0:  # type: ignore[operator]
        raise UserError(f"the sweep's parameter {key} has log and low {low}; low must be above 0")
    return dict(described)


def _moved(value: Any, root: str, folder: str) -> Any:
    """The same with every path in `root` moved to `folder`."""
    if isinstance(value, dict):
        return {key: _moved(entry, root, folder) for key, entry in value.items()}
    if isinstance(value, list):
        return [_moved(entry, root, folder) for entry in value]
    if isinstance(value, str) and (value == root or value.startswith(f"{root}/")):
        return folder + value[len(root) :]
    return value
