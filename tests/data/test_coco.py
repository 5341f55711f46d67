import json
from pathlib import Path
from typing import Any

import pytest
import torch

from showo_turbo.data import COCOCaptions
from showo_turbo.errors import BadSample, UserError


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_photographs_come_with_one_of_their_captions(photographs: Any) -> None:
    dataset = COCOCaptions(photographs.images, photographs.captions, 256)

    assert len(dataset) == 6
    drawn = {dataset.draw(1, seed)["caption"] for seed in range(20)}
    assert drawn == {"a tabby cat", "a cat that looks at you", "the face of a cat"}
    item = dataset.draw(1, seed=7)
    assert item["image_id"] == 999 and item["seed"] == 7
    assert item["pixels"].shape == (3, 256, 256)


def test_a_seed_always_draws_the_same(photographs: Any) -> None:
    dataset = COCOCaptions(photographs.images, photographs.captions, 32)
    first, second = dataset.draw(1, 12345), dataset.draw(1, 12345)
    assert first["caption"] == second["caption"]
    assert torch.equal(first["pixels"], second["pixels"])


def test_annotations_of_another_editor(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 1, "file_name": "0.png"}],
        "annotations": [{"image_id": 1, "caption": "a\u2028dog\n"}],
    }
    path = tmp_path / "c.json"
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8-sig")
    assert COCOCaptions(tmp_path, path, 24).captions() == ["a\u2028dog"]


def test_all_captions_are_listed(photographs: Any) -> None:
    dataset = COCOCaptions(photographs.images, photographs.captions, 32)
    assert len(dataset.captions()) == 9
    assert "a cup of coffee on a saucer" in dataset.captions()


def test_items_collate_to_tensors_and_lists(photographs: Any) -> None:
    dataset = COCOCaptions(photographs.images, photographs.captions, 32)
    batch = dataset.collate([dataset[0], dataset[1]])
    assert batch["pixels"].shape == (2, 3, 32, 32)
    assert batch["image_id"] == [1000, 999]
    assert len(list(dataset)) == 6  # iteration ends


def test_images_without_caption_are_left_out(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": [{"image_id": 2, "caption": "two"}],
    }
    dataset = COCOCaptions(tmp_path, write(tmp_path / "c.json", content), 8)
    assert len(dataset) == 1 and dataset.captions() == ["two"]


def test_an_image_whose_captions_are_all_bad_is_left_out(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": [{"image_id": 1, "caption": ""}, {"image_id": 2, "caption": "two"}],
    }
    skipped: list[BadSample] = []
    dataset = COCOCaptions(tmp_path, write(tmp_path / "c.json", content), 8, skipped.append)
    assert len(dataset) == len(skipped) == 1 and dataset.captions() == ["two"]


IMAGE = {"id": 1, "file_name": "a.png"}
CAPTION = {"image_id": 1, "caption": "a"}


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "has no list 'images'"),
        ({"images": []}, "has no list 'annotations'"),
        ({"images": [IMAGE], "annotations": {}}, "has no list 'annotations'"),
        ({"images": [IMAGE], "annotations": []}, "holds no caption"),
        ({"images": [{"id": 1}], "annotations": [CAPTION]}, r"images\[0\].*'file_name'"),
        ({"images": ["a.png"], "annotations": [CAPTION]}, r"images\[0\].*'id'"),
        (
            {"images": [{"id": "1", "file_name": "a.png"}], "annotations": [CAPTION]},
            r"images\[0\].*'1' for 'id'; expected an integer",
        ),
        ({"images": [IMAGE], "annotations": [{"image_id": 1}]}, r"annotations\[0\].*'caption'"),
        (
            {"images": [IMAGE], "annotations": [CAPTION, {"image_id": 7, "caption": "b"}]},
            r"annotations\[1\].*image_id 7, which no entry of 'images' has",
        ),
        (
            {"images": [{"id": 1, "file_name": "../a.png"}], "annotations": [CAPTION]},
            "expected a relative path inside",
        ),
    ],
)
def test_a_malformed_file_is_explained_in_one_line(
    tmp_path: Path, content: Any, message: str
) -> None:
    path = write(tmp_path / "captions.json", content)
    with pytest.raises(UserError, match=message) as error:
        COCOCaptions(tmp_path, path, 8)
    assert "\n" not in str(error.value)


@pytest.mark.bad_input
def test_a_missing_or_damaged_file_is_named(tmp_path: Path, photographs: Any) -> None:
    with pytest.raises(UserError, match=r"nowhere\.json does not exist"):
        COCOCaptions(tmp_path, tmp_path / "nowhere.json", 8)
    (tmp_path / "cut.json").write_bytes(photographs.captions.read_bytes()[:-5])
    with pytest.raises(UserError, match=r"cut\.json is not valid JSON"):
        COCOCaptions(tmp_path, tmp_path / "cut.json", 8)
