import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from showo_turbo.viz.film_strip import (
    FRAME_SIDE,
    MARGIN,
    draw_film_strip,
    draw_text_strip,
    evenly_chosen,
    hide_masked,
)

from ..trajectories.conftest import random_image_record, text_record

GRAY = (128, 128, 128)


def red(codes):
    """A red image of 16 x 16 pixels, whatever the codes."""
    pixels = torch.full((len(codes), 3, 16, 16), -1.0)
    pixels[:, 0] = 1.0
    return pixels


def test_masked_patches_are_gray_and_the_others_untouched():
    image = torch.rand(3, 4, 6)
    masked = torch.tensor([[True, False, False], [False, False, True]])
    hidden = hide_masked(image, masked.flatten())
    assert (hidden[:, 0:2, 0:2] == 0).all()
    assert (hidden[:, 2:4, 4:6] == 0).all()
    assert torch.equal(hidden[:, 0:2, 2:6], image[:, 0:2, 2:6])
    assert torch.equal(hidden[:, 2:4, 0:4], image[:, 2:4, 0:4])


def test_patches_that_do_not_tile_the_image_are_refused():
    with pytest.raises(ValueError, match="5 square patches do not tile an image of 4 x 6"):
        hide_masked(torch.zeros(3, 4, 6), torch.ones(5, dtype=torch.bool))


def test_a_strip_goes_from_all_gray_to_the_image(tmp_path):
    record = random_image_record()
    draw_film_strip(record, red, tmp_path / "strips" / "a.png", max_states=4)
    strip = Image.open(tmp_path / "strips" / "a.png")
    assert strip.format == "PNG"
    row = strip.height // 2
    shares = []
    for column in range(4):
        left = MARGIN + column * (FRAME_SIDE + MARGIN)
        frame = strip.crop((left, 0, left + FRAME_SIDE, strip.height))
        colors = {color: count for count, color in frame.getcolors(2**24)}
        shares.append(colors.get((255, 0, 0), 0) / FRAME_SIDE**2)
    revealed = [(record.reveal_step <= k).float().mean().item() for k in (0, 3, 5, 8)]
    assert shares == pytest.approx(revealed, abs=1e-6)
    assert strip.getpixel((MARGIN + 2, row)) == GRAY
    assert [path.name for path in (tmp_path / "strips").iterdir()] == ["a.png"]


@given(st.integers(2, 80), st.integers(2, 12))
def test_chosen_states_are_few_spread_and_keep_the_ends(count, most):
    chosen = evenly_chosen(count, most)
    assert chosen[0] == 0
    assert chosen[-1] == count - 1
    assert len(chosen) == min(count, most)
    gaps = [b - a for a, b in itertools.pairwise(chosen)]
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1


def test_a_text_strip_shows_every_iterate_with_the_settled_tokens_marked(tmp_path):
    seen = []

    def decode(ids):
        seen.append(tuple(ids))
        return {29: "\n", 0: " ", 9: "日本"}.get(ids[0], f"w{ids[0]}")

    draw_text_strip(text_record(), decode, tmp_path / "text.png")
    strip = Image.open(tmp_path / "text.png").convert("RGB")
    # Four iterates of four tokens and two of the two that belong to the answer.
    assert len(seen) == 4 * 4 + 2 * 2
    colors = {color for _, color in strip.getcolors(2**24)}
    assert {(0xBF, 0xE5, 0xC5), (0xF4, 0xD6, 0xC2)} <= colors
    # The first block settles 0, 1, 2 and 4 of its tokens, the second 0 and 2.
    green = sum(n for n, color in strip.getcolors(2**24) if color == (0xBF, 0xE5, 0xC5))
    orange = sum(n for n, color in strip.getcolors(2**24) if color == (0xF4, 0xD6, 0xC2))
    assert green / (green + orange) == pytest.approx(9 / 20, abs=0.03)


def test_a_strip_of_one_state_is_refused():
    with pytest.raises(ValueError, match="at most 1 states"):
        evenly_chosen(9, 1)
