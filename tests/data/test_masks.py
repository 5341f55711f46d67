from pathlib import Path

import pytest
import torch
from PIL import Image

from showo_turbo.data.images import square_pixels
from showo_turbo.data.masks import gray_mask, read_mask, square_mask
from showo_turbo.errors import BadSample

from .. import golden_drawing as golden


@pytest.mark.parametrize("name", ["blob", "strokes", "dot", "all"])
def test_golden_squares_of_masks(name: str) -> None:
    mask = gray_mask(golden.picture(f"mask.{name}"), "the mask")
    assert mask.size == (190, 150)
    found = square_mask(mask, 128)
    assert torch.equal(found, golden.cases()[f"mask.{name}.cropped"] / 255)


def test_golden_square_of_the_photograph() -> None:
    found = square_pixels(golden.picture("photo"), 128)
    assert torch.equal(found, golden.cases()["photo.resized"] / 127.5 - 1)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_masks_of_all_kinds(tmp_path: Path, mode: str) -> None:
    gray = Image.new("L", (16, 16), 0)
    gray.paste(255, (4, 0, 12, 8))
    gray.convert("RGB").convert(mode).save(tmp_path / "m.png")
    found = square_mask(read_mask(tmp_path / "m.png"), 16)
    expected = torch.zeros(16, 16)
    expected[:8, 4:12] = 1
    assert torch.equal(found, expected)


@pytest.mark.bad_input
def test_bad_masks(tmp_path: Path) -> None:
    Image.new("RGBA", (16, 16), (255, 255, 255, 100)).save(tmp_path / "clear.png")
    with pytest.raises(BadSample, match=r"clear\.png has transparent parts"):
        read_mask(tmp_path / "clear.png")
    with pytest.raises(BadSample, match="mask 2 has transparent parts"):
        gray_mask(Image.new("LA", (16, 16)), "mask 2")
    (tmp_path / "m.png").write_text("no image")
    with pytest.raises(BadSample, match=r"m\.png cannot be read as an image"):
        read_mask(tmp_path / "m.png")
    with pytest.raises(BadSample, match=r"none\.png does not exist"):
        read_mask(tmp_path / "none.png")
