import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from showo_turbo.errors import UserError
from showo_turbo.evaluation import paired_difference, stratified_interval, wilson_interval
from showo_turbo.evaluation.intervals import bootstrap_interval

counts = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("successes", "n", "expected"),
    [(8, 10, (0.4901625, 0.9433178)), (0, 10, (0.0, 0.2775328)), (50, 100, (0.4038315, 0.5961685))],
)
def test_wilson_as_tabulated(successes, n, expected):
    assert wilson_interval(successes, n) == pytest.approx(expected, abs=1e-6)


@given(counts)
def test_wilson_holds_the_share_and_has_a_width(case):
    successes, n = case
    low, high = wilson_interval(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert high - low > 0
    flipped = wilson_interval(n - successes, n)
    assert flipped == pytest.approx((1 - high, 1 - low), abs=1e-9)


@given(counts)
def test_one_stratum_is_wilson(case):
    assert stratified_interval([case]) == pytest.approx(wilson_interval(*case), abs=1e-12)


@given(st.lists(counts, min_size=1, max_size=8))
def test_strata_weigh_the_same(strata):
    low, high = stratified_interval(strata)
    mean = sum(successes / n for successes, n in strata) / len(strata)
    assert low <= mean + 1e-12 and mean - 1e-12 <= high
    assert -1e-9 <= low < high <= 1 + 1e-9


def test_more_strata_narrow_the_interval():
    (one,) = [stratified_interval([(40, 50)])]
    six = stratified_interval([(40, 50)] * 6)
    assert six[1] - six[0] == pytest.approx((one[1] - one[0]) / 6**0.5)


def test_a_perfect_score_keeps_a_width():
    low, high = stratified_interval([(100, 100)] * 6)
    assert high == 1.0
    assert 0.97 < low < 0.999


def test_the_interval_covers_the_truth_in_about_95_percent():
    random = np.random.default_rng(0)
    truth = np.array([0.98, 0.9, 0.7, 0.95, 0.6, 0.85])
    draws = random.binomial(50, truth, size=(2000, 6))
    intervals = [stratified_interval([(int(k), 50) for k in row]) for row in draws]
    covered = np.mean([low <= truth.mean() <= high for low, high in intervals])
    assert 0.93 <= covered <= 0.98


def test_the_bootstrap_of_many_values_is_that_of_the_normal_distribution():
    values = np.random.default_rng(1).gamma(2.0, size=400)
    low, high = bootstrap_interval(values.tolist())
    half = 1.959964 * values.std(ddof=1) / 20
    assert low == pytest.approx(values.mean() - half, abs=half / 10)
    assert high == pytest.approx(values.mean() + half, abs=half / 10)


def test_the_bootstrap_of_few_values_by_hand():
    """Means of two resampled values are 0, 1/2 and 1, in a quarter, a half and a quarter."""
    assert bootstrap_interval([0, 1]) == (0.0, 1.0)
    assert bootstrap_interval([0.1] * 3) == pytest.approx((0.1, 0.1))


def test_no_samples():
    for call in (
        lambda: wilson_interval(0, 0),
        lambda: stratified_interval([]),
        lambda: stratified_interval([(1, 2), (0, 0)]),
        lambda: paired_difference([], []),
        lambda: bootstrap_interval([]),
    ):
        with pytest.raises(UserError):
            call()


def test_paired_difference_of_one_category():
    """b = 5 pairs only the first satisfied, c = 1 only the second, 20 in all."""
    first = [True] * 5 + [False] + [True] * 10 + [False] * 4
    second = [False] * 5 + [True] + [True] * 10 + [False] * 4
    result = paired_difference(first, second)
    assert result.difference == pytest.approx(4 / 20)
    assert result.n == 20
    # Half a pair more in each cell: (5.5 - 1.5) / 22, and its standard error.
    center, half = 4 / 22, 1.959964 * ((6 + 1 - 16 / 22) ** 0.5) / 22
    assert result.ci95 == pytest.approx((center - half, center + half), abs=1e-6)


pairs = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.sampled_from("abc")), min_size=1, max_size=60
)


@given(pairs)
def test_paired_difference_is_antisymmetric(rows):
    first, second, categories = zip(*rows, strict=True)
    there = paired_difference(first, second, categories)
    back = paired_difference(second, first, categories)
    assert back.difference == pytest.approx(-there.difference)
    assert back.ci95 == pytest.approx((-there.ci95[1], -there.ci95[0]))
    assert there.ci95[0] - 1e-12 <= there.difference <= there.ci95[1] + 1e-12


def test_paired_categories_weigh_the_same():
    """Ten pairs of one category, all better; one pair of another, equal."""
    result = paired_difference([True] * 11, [False] * 10 + [True], ["a"] * 10 + ["b"])
    assert result.difference == pytest.approx(0.5)


def test_the_same_outcomes_differ_by_nothing_certain():
    low, high = paired_difference([True] * 50, [True] * 50).ci95
    assert low < 0 < high < 0.06
