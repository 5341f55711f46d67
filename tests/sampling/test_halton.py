import pytest

from showo_turbo.errors import UserError
from showo_turbo.sampling.halton import halton_order, square_side
from showo_turbo.sampling.image_sampling import ImageSampling

from .. import naive


def test_by_hand():
    """Rows 1/2, 1/4, 3/4, 1/8, 5/8, ...; columns 1/3, 2/3, 1/9, 4/9, 7/9, ... of the side."""
    order = [divmod(place, 4) for place in halton_order(4, 4).tolist()]
    assert order[:8] == [(2, 1), (1, 2), (3, 0), (0, 1), (2, 3), (1, 0), (3, 2), (0, 3)]
    assert [divmod(place, 3) for place in halton_order(2, 3).tolist()] == [
        (1, 1), (0, 2), (1, 0), (0, 1), (1, 2), (0, 0)
    ]  # fmt: skip


@pytest.mark.parametrize(("height", "width"), [(1, 1), (6, 6), (9, 9), (5, 8), (16, 16)])
def test_every_place_once_as_naive(height, width):
    order = halton_order(height, width).tolist()
    assert sorted(order) == list(range(height * width))
    expected = naive.halton_places(height, width)
    assert [divmod(place, width) for place in order] == expected


def test_any_first_tokens_are_spread_evenly():
    """A quarter of the tokens has about a quarter of every quadrant's."""
    first = [divmod(place, 16) for place in halton_order(16, 16)[:64].tolist()]
    quadrants = [(row // 8, column // 8) for row, column in first]
    assert all(13 <= quadrants.count((row, column)) <= 19 for row in (0, 1) for column in (0, 1))


@pytest.mark.bad_input
def test_tokens_that_form_no_square():
    assert square_side(1024) == 32
    sampling = ImageSampling(2, reveal_order="halton")
    with pytest.raises(UserError, match="12 image tokens do not form a square; choose"):
        sampling.check(12, 24)
