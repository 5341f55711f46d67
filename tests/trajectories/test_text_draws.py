from collections import Counter

import pytest

from showo_turbo.errors import UserError
from showo_turbo.trajectories import GrowingNoise, UniformIterates
from showo_turbo.trajectories.text_draws import wrong_shares
from showo_turbo.utils.random import stateless_seed

from .conftest import text_record

RECORD = text_record()
"""Iterates of the first block: 4, 2 and 1 of 4 tokens wrong; of the second: 2 of 2."""
HALF = 2**62


def seeds(number):
    return [stateless_seed(number, block) for block in range(2)]


def test_wrong_shares_by_hand():
    assert wrong_shares(RECORD, 0) == [1.0, 0.5, 0.25]
    assert wrong_shares(RECORD, 1) == [1.0]


def test_uniform_draws_are_what_they_were():
    found = Counter()
    for number in range(300):
        drawn = UniformIterates().draw(RECORD, seeds(number))
        assert drawn == [seeds(number)[0] % 3, 0]
        found[drawn[0]] += 1
    assert min(found.values()) > 70


def test_noise_grows_over_the_blocks_of_a_window():
    """By hand: u = 1/2 in every block, so that 1/4 and 3/4 of the tokens are wanted wrong."""
    record = text_record(answer=(5, 6, 7, 8, 9, 10, 11, 12))
    record.blocks = [record.blocks[0], record.blocks[0]]
    draws = [GrowingNoise(window=2).draw(record, [HALF + n, HALF]) for n in range(40)]
    # 1/4 is the iterate with one wrong token; 3/4 is as far from 1/2 as from 1, and comes first.
    assert {tuple(drawn) for drawn in draws} == {(2, 0), (0, 2)}


def test_in_a_window_of_one_block_all_noise_is_alike():
    drawn = {GrowingNoise(window=1).draw(RECORD, seeds(number))[0] for number in range(60)}
    assert drawn == {0, 1, 2}


@pytest.mark.bad_input
def test_a_window_holds_a_block():
    with pytest.raises(UserError, match="window is 0"):
        GrowingNoise(window=0)
