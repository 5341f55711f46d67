import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.sampling.halton import halton_order, oriented_halton_order, square_side
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.noise import noise_of
from showo_turbo.sampling.parallel import denoise_images

from .. import naive
from ..tiny import tiny_showo


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


def test_the_eight_orientations_by_hand():
    plain = [divmod(place, 4) for place in halton_order(4, 4).tolist()]
    expected = [
        plain,
        [(3 - row, column) for row, column in plain],
        [(row, 3 - column) for row, column in plain],
        [(3 - row, 3 - column) for row, column in plain],
        [(column, row) for row, column in plain],
        [(column, 3 - row) for row, column in plain],
        [(3 - column, row) for row, column in plain],
        [(3 - column, 3 - row) for row, column in plain],
    ]
    for seed in (*range(8), 2**62 + 5):
        order = oriented_halton_order(4, seed).tolist()
        assert [divmod(place, 4) for place in order] == expected[seed % 8]
    assert len({tuple(order) for order in expected}) == 8


def test_images_are_revealed_in_the_orientations_of_their_seeds():
    model = tiny_showo().eval()
    sampling = ImageSampling(5, mask_schedule="linear", reveal_order="oriented_halton")
    seeds = [3, 12, 6]
    revealed_at = torch.zeros(3, 16, dtype=torch.long)
    for step in denoise_images(model, [[1], [1, 2], []], sampling, seeds):
        revealed_at[step.revealed] = step.index
    for row, seed in enumerate(seeds):
        assert (revealed_at[row][oriented_halton_order(4, seed)].diff() >= 0).all()
    assert not sampling.one_image_a_prompt


@pytest.mark.parametrize("size", [1, 2, 8])
def test_noise_says_the_orientation(size):
    model = tiny_showo()
    model.add_noise(size)
    noise = noise_of(model, range(16))
    for seed in range(16):
        expected = [1.0 if seed & bit else -1.0 for bit in (1, 2, 4)][:size]
        assert noise[seed, 0, :3].tolist()[: len(expected)] == expected


@pytest.mark.bad_input
def test_tokens_that_form_no_square():
    sampling = ImageSampling(2, reveal_order="halton")
    with pytest.raises(UserError, match="12 image tokens do not form a square"):
        sampling.check(tiny_showo(image_tokens=12).config)
    assert square_side(tiny_showo(image_tokens=12, video_frames=3).config) == 2
    oriented = ImageSampling(2, reveal_order="oriented_halton", confidence_temperature=1.0)
    with pytest.raises(UserError, match="reveal_order 'oriented_halton' takes no noise"):
        oriented.check(tiny_showo().config)
