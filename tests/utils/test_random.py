from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showo_turbo.utils.random import Permutation, stable_hash


@settings(max_examples=50)
@given(size=st.integers(1, 300), seed=st.integers(0, 2**63 - 1))
def test_every_element_comes_once(size: int, seed: int) -> None:
    order = Permutation(size, seed)
    assert sorted(order[position] for position in range(size)) == list(range(size))


def test_large_sizes_need_no_memory() -> None:
    order = Permutation(10**12, seed=3)
    elements = {order[position] for position in range(2000)}
    assert len(elements) == 2000 and max(elements) < 10**12
    # Uniform: the quarters of the range get about 500 each.
    quarters = Counter(4 * element // 10**12 for element in elements)
    assert all(400 < quarters[quarter] < 600 for quarter in range(4))


def test_orders_of_small_ranges_are_spread_evenly() -> None:
    orders = Counter(
        tuple(Permutation(3, seed)[position] for position in range(3)) for seed in range(1200)
    )
    assert len(orders) == 6
    assert all(140 < count < 260 for count in orders.values())


def test_the_order_is_the_same_everywhere() -> None:
    # Written down once: a change would silently break resumed runs.
    assert [Permutation(10, 1)[position] for position in range(10)] == GOLDEN_ORDER
    assert stable_hash(1, "image", 0) == GOLDEN_HASH


@pytest.mark.parametrize("position", [-1, 5])
def test_positions_outside_are_refused(position: int) -> None:
    with pytest.raises(IndexError):
        Permutation(5, 0)[position]


GOLDEN_ORDER = [4, 6, 8, 5, 2, 7, 1, 0, 9, 3]
GOLDEN_HASH = 1243606422394146285
