"""Pictures of which the left half is transparent, with hidden red, and the right half blue."""

import io
import logging
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from showo_turbo.data import CaptionFiles, InstructionFiles, QuestionFiles, load_image, transparency
from showo_turbo.data.images import encode_images, square_pixels
from showo_turbo.data.transparency import to_rgb
from showo_turbo.errors import UserError

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


@pytest.fixture(autouse=True)
def not_said(monkeypatch):
    monkeypatch.setattr(transparency, "_said", bytearray(1))


def halves(mode, left, right):
    image = Image.new(mode, (16, 16), left)
    image.paste(right, (8, 0, 16, 16))
    return image


def palette():
    image = halves("P", 0, 1)
    image.putpalette([*RED, *BLUE])
    return image


def saved(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(io.BytesIO(file.getvalue()))


TRANSPARENT = {
    "RGBA": halves("RGBA", (*RED, 0), (*BLUE, 255)),
    "PNG": saved(halves("RGBA", (*RED, 0), (*BLUE, 255))),
    "WebP": saved(halves("RGBA", (*RED, 0), (*BLUE, 255)), "WEBP", lossless=True),
    "TIFF": saved(halves("RGBA", (*RED, 0), (*BLUE, 255)), "TIFF"),
    "an index of a palette": saved(palette(), transparency=0),
    "alpha of a palette": saved(palette(), transparency=bytes([0, 255])),
    "GIF": saved(palette(), "GIF", transparency=0),
    "a color": saved(halves("RGB", RED, BLUE), transparency=RED),
}


@pytest.mark.parametrize("name", TRANSPARENT)
@pytest.mark.parametrize(
    ("background", "expected"),
    [("white", WHITE), ("black", (0, 0, 0)), ("#102030", (16, 32, 48))],
)
def test_the_background_shows_through(name, background, expected):
    image = to_rgb(TRANSPARENT[name], background)
    assert image.mode == "RGB"
    assert image.getpixel((0, 0)) == expected and image.getpixel((15, 15)) == BLUE


@pytest.mark.parametrize(
    "image",
    [
        halves("LA", (77, 0), (99, 255)),
        saved(halves("LA", (77, 0), (99, 255))),
        saved(halves("L", 77, 99), transparency=77),
    ],
)
def test_gray_becomes_the_background_too(image):
    assert to_rgb(image).getpixel((0, 0)) == WHITE
    assert to_rgb(image).getpixel((15, 0)) == (99, 99, 99)


def test_half_transparent_parts_are_mixed():
    image = to_rgb(Image.new("RGBA", (8, 8), (200, 0, 100, 51)), "#0000ff")
    # A fifth of the color and four fifths of the background.
    assert image.getpixel((0, 0)) == pytest.approx((40, 0, 20 + 204), abs=1)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBX", "YCbCr", "RGBA", "LA"])
def test_opaque_pictures_keep_their_colors(mode, caplog):
    image = Image.linear_gradient("L").resize((16, 16)).convert("RGB").convert(mode)
    assert to_rgb(image, "black").tobytes() == image.convert("RGB").tobytes()
    assert not caplog.messages


def test_training_and_answering_see_the_same(tmp_path):
    path = tmp_path / "a.png"
    TRANSPARENT["RGBA"].save(path)
    for options, value in (({}, 1.0), ({"background": "black"}, -1.0)):
        pixels = load_image(path, 16, **options)
        assert (pixels[:, :, :8] == value).all()
        assert torch.equal(pixels, square_pixels(TRANSPARENT["RGBA"], 16, **options))
        encoded = encode_images([path], 16, lambda batch: batch, **options)
        assert torch.equal(encoded[path], pixels)


def test_sources_name_a_background(tmp_path):
    TRANSPARENT["RGBA"].save(tmp_path / "a.png")
    coco = '{"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"image_id": 1, '
    (tmp_path / "coco.json").write_text(coco + '"caption": "a"}]}')
    turns = '[{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]'
    (tmp_path / "llava.json").write_text(f'[{{"image": "a.png", "conversations": {turns}}}]')
    (tmp_path / "pope.json").write_text('{"image": "a.png", "text": "a", "label": "no"}')
    for options, value in (({}, 1.0), ({"background": "black"}, -1.0)):
        sources = [
            CaptionFiles(tmp_path, tmp_path / "coco.json", **options),
            InstructionFiles(tmp_path, tmp_path / "llava.json", **options),
            QuestionFiles("POPE", tmp_path / "pope.json", tmp_path, **options),
        ]
        for source in sources:
            assert (source.open(16).draw(0, 0)["pixels"][:, :, :8] == value).all()


def test_it_is_reported_once(tmp_path, caplog):
    for name in ("a.png", "b.png"):
        TRANSPARENT["PNG"].save(tmp_path / name)
        load_image(tmp_path / name, 16, "gray")
    assert caplog.messages == [
        f"{tmp_path / 'a.png'} has transparent parts; these and those of others become gray, or "
        "what background names"
    ]
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_it_is_reported_once_by_all_loading_processes(tmp_path, monkeypatch):
    monkeypatch.undo()
    before = transparency._said[0]
    try:
        transparency._said[0] = 0
        if (process := os.fork()) == 0:
            to_rgb(TRANSPARENT["RGBA"])
            os._exit(0)
        assert os.waitpid(process, 0)[1] == 0
        assert transparency._said[0] == 1
    finally:
        transparency._said[0] = before


@pytest.mark.bad_input
@pytest.mark.parametrize("background", ["whit", "", "#12", "#ffffff80", "3"])
def test_a_color_that_is_unknown_or_transparent(background):
    for make in (
        lambda: CaptionFiles(Path(), Path(), background=background),
        lambda: InstructionFiles(Path(), Path(), background=background),
        lambda: QuestionFiles("MME", Path(), background=background),
        lambda: to_rgb(TRANSPARENT["RGBA"], background),
    ):
        with pytest.raises(UserError, match=r"background is '.*'"):
            make()
