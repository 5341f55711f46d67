"""95% confidence intervals of shares, of means, and of paired differences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UserError

Z95 = 1.959963984540054
"""Quantile of the standard normal distribution that leaves 2.5% above it."""

BOOTSTRAP_SAMPLES = 2000

Interval = tuple[float, float]


def rounded(interval: Interval) -> list[float]:
    """An interval for a JSON file."""
    return [round(limit, 4) for limit in interval]


def wilson_interval(successes: int, n: int) -> Interval:
    """Score interval of a single share; it stays inside [0, 1] and never shrinks to a point.

    Args:
        successes: How many of the `n` succeeded.
        n: Number of independent trials.

    Raises:
        UserError: If there were no trials.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    if n < 1:
        raise UserError(f"a share of {n} samples has no interval; give at least 1")
    share, square = successes / n, Z95**2
    center = (share + square / (2 * n)) / (1 + square / n)
    spread = math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    half = Z95 / (1 + square / n) * spread
    # At the ends the limit is the share itself; rounding must not put it beyond.
    return min(share, max(0.0, center - half)), max(share, min(1.0, center + half))


def stratified_interval(strata: Sequence[tuple[int, int]]) -> Interval:
    """Interval of the mean of several independent shares that all weigh the same.

    The shares' Wilson limits are combined by their squared distances ("MOVER"). With one stratum
    it is Wilson's interval, and it keeps a width where every share is 0 or 1, unlike the normal
    approximation and the bootstrap.

    Args:
        strata: Successes and number of trials of each.

    Raises:
        UserError: If there are no strata, or one without trials.

    Source: Zou, Huang and Zhang, "A note on confidence interval estimation for a linear function
        of binomial proportions", 2009.
    """
    shares = [successes / n if n else 0.0 for successes, n in strata]
    return _combine(shares, [wilson_interval(successes, n) for successes, n in strata])


def bootstrap_interval(values: Sequence[float]) -> Interval:
    """Interval of the mean of independent values: quantiles of the means of seeded resamples.

    What belongs together, such as the images of a prompt, must be one value. The same values have
    the same interval; it is a point where all of them are equal.

    Args:
        values: One a sample.

    Raises:
        UserError: If there are none.

    Source: Efron, "Bootstrap methods: another look at the jackknife", 1979 (percentile method).
    """
    if not values:
        raise UserError("there are no values to average; give at least 1")
    found, n = np.asarray(values, dtype=np.float64), len(values)
    means = np.random.default_rng(0).choice(found, (BOOTSTRAP_SAMPLES, n)).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return min(float(low), float(found.mean())), max(float(high), float(found.mean()))


@dataclass(frozen=True)
class Difference:
    """How much more often the first succeeded than the second, on the same samples.

    Attributes:
        difference: Mean over the categories of the difference of the two shares.
        ci95: Its 95% interval.
        n: Number of pairs.
    """

    difference: float
    ci95: Interval
    n: int

    def to_dict(self) -> dict[str, object]:
        """The difference for a JSON file."""
        ends = rounded(self.ci95)
        return {"difference": round(self.difference, 4), "ci95": ends, "n": self.n}


def paired_difference(
    first: Sequence[bool], second: Sequence[bool], categories: Sequence[str] | None = None
) -> Difference:
    """Compare two shares that were measured on the same samples.

    Within a category the interval is that of matched pairs with half a pair added to each of the
    four outcomes; the categories are combined as in `stratified_interval`.

    Args:
        first: Whether each sample succeeded in the first condition.
        second: Whether it did in the second.
        categories: Category of each sample; all in one by default. Categories weigh the same.

    Raises:
        UserError: If there are no samples.

    Source: Agresti and Min, "Simple improved confidence intervals for comparing matched
        proportions", 2005.
    """
    if not first:
        raise UserError("there are no samples to compare; give at least 1")
    groups: dict[str, list[int]] = {}
    for a, b, category in zip(first, second, categories or [""] * len(first), strict=True):
        groups.setdefault(category, []).append(int(a) - int(b))
    means = [sum(group) / len(group) for group in groups.values()]
    interval = _combine(means, [_matched_interval(group) for group in groups.values()])
    return Difference(sum(means) / len(means), interval, len(first))


def _matched_interval(differences: Sequence[int]) -> Interval:
    """Interval of the mean of differences that are -1, 0 or 1."""
    n = len(differences)
    mean = sum(differences) / n
    discordant = sum(abs(value) for value in differences)
    net = sum(differences)
    center = net / (n + 2)
    half = Z95 * math.sqrt(discordant + 1 - net**2 / (n + 2)) / (n + 2)
    return min(mean, max(-1.0, center - half)), max(mean, min(1.0, center + half))


def _combine(values: Sequence[float], limits: Sequence[Interval]) -> Interval:
    """Interval of the mean of independent values from the interval of each."""
    if not values:
        raise UserError("there are no categories to average; give at least 1")
    mean = sum(values) / len(values)
    below = math.sqrt(sum((v - low) ** 2 for v, (low, _) in zip(values, limits, strict=True)))
    above = math.sqrt(sum((high - v) ** 2 for v, (_, high) in zip(values, limits, strict=True)))
    return mean - below / len(values), mean + above / len(values)
