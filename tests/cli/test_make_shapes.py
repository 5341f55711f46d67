import json

import pytest


def test_a_small_world(command, tmp_path):
    counts = ["--images", 4, "--documents", 3, "--validation_images", 2, "--seed", 5]
    result = command("make-shapes", tmp_path / "world", *counts)
    assert result.status == 0
    assert "4 images, 2 for validation, 3 documents" in result.output
    made = json.loads((tmp_path / "world" / "world.json").read_text())
    assert (made["images"], made["documents"], made["seed"]) == (4, 3, 5)
    assert len(list((tmp_path / "world" / "train2017").glob("*.png"))) == 4


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: folder"),
        (["out", "--images", 0], "images is 0: expected at least 1"),
        (["out", "--images", "many"], "images: many is not of type int"),
        (["out", "--colour", "red"], "unrecognized arguments: --colour red"),
    ],
)
def test_bad_input(mistake, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in mistake("make-shapes", *arguments)
    assert not list(tmp_path.iterdir())
