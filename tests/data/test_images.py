from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

import showo_turbo.data.images as images
from showo_turbo.data.images import image_path, load_image
from showo_turbo.errors import UserError


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    path = tmp_path / "coffee.png"
    Image.fromarray(skimage.data.coffee()).save(path)  # 600 x 400
    return path


def test_an_image_of_the_right_size_passes_unchanged(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "exact.png")

    pixels = load_image(tmp_path / "exact.png", 24)

    assert pixels.shape == (3, 24, 24) and pixels.dtype == torch.float32
    assert pixels.min() >= -1 and pixels.max() <= 1
    recovered = ((pixels + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(recovered, values)


def test_the_shorter_side_is_resized_and_the_center_is_kept(photograph: Path) -> None:
    pixels = load_image(photograph, 100)

    resized = Image.fromarray(skimage.data.coffee()).resize((150, 100), Image.Resampling.BICUBIC)
    center = np.asarray(resized)[:, 25:125]
    expected = torch.from_numpy(center.copy()).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(pixels, expected)


def test_gray_and_transparent_images_become_rgb(tmp_path: Path) -> None:
    Image.fromarray(skimage.data.camera()).save(tmp_path / "gray.png")
    Image.fromarray(skimage.data.logo()).save(tmp_path / "transparent.png")

    gray = load_image(tmp_path / "gray.png", 64)
    assert torch.equal(gray[0], gray[1]) and torch.equal(gray[1], gray[2])
    assert load_image(tmp_path / "transparent.png", 64).shape == (3, 64, 64)


def test_a_turned_photograph_is_turned_back(tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 32), "white")
    image.paste("black", (0, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(tmp_path / "turned.png", exif=exif)

    pixels = load_image(tmp_path / "turned.png", 32)

    assert (pixels[:, :16] == 1).all() and (pixels[:, 16:] == -1).all()


@pytest.mark.bad_input
def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.png does not exist"):
        load_image(tmp_path / "nowhere.png", 24)


@pytest.mark.bad_input
@pytest.mark.parametrize("kept", [0, 30, 5000])
def test_a_truncated_image_is_named(photograph: Path, kept: int) -> None:
    photograph.write_bytes(photograph.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"coffee\.png cannot be read as an image") as error:
        load_image(photograph, 24)
    assert "\n" not in str(error.value)


@pytest.mark.bad_input
def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(UserError, match=r"text\.jpg cannot be read as an image"):
        load_image(tmp_path / "text.jpg", 24)


@pytest.mark.bad_input
def test_an_oversized_image_is_refused(photograph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 600 * 400 - 1)
    with pytest.raises(UserError, match=r"coffee\.png has 600 x 400 pixels"):
        load_image(photograph, 24)
    monkeypatch.setattr(images, "MAX_PIXELS", 600 * 400)
    assert load_image(photograph, 24).shape == (3, 24, 24)


@pytest.mark.bad_input
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    Image.new("1", (10_000, 9_000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 100_000
    with pytest.raises(UserError, match=r"bomb\.png"):
        load_image(tmp_path / "bomb.png", 24)


def test_links_of_the_user_are_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    Image.new("RGB", (16, 16), "red").save(tmp_path / "elsewhere/a.png")
    (tmp_path / "images").symlink_to("elsewhere")
    (tmp_path / "b.png").symlink_to("images/a.png")
    path = image_path(tmp_path, "b.png", "a record")
    assert load_image(path, 16).shape == (3, 16, 16)


@pytest.mark.bad_input
@pytest.mark.parametrize("name", ["../secret.png", "a/../../secret.png", "/etc/secret.png", ""])
def test_a_name_cannot_leave_its_folder(name: str) -> None:
    with pytest.raises(UserError, match="expected a relative path inside"):
        image_path(Path("images"), name, "a record")


def test_a_name_may_go_into_subfolders() -> None:
    assert image_path(Path("images"), "a/b.png", "a record") == Path("images/a/b.png")
