"""`showo-turbo tell`."""

import json

import numpy as np
import pytest
from PIL import Image

from showo_turbo.inference import ShowoPipeline
from showo_turbo.sampling.text_decoding import TextDecoding

RUN = ["--sampling_steps", 2, "--decoding.max_new_tokens", 6, "--max_steps", 2]
DECODING = TextDecoding(max_new_tokens=6)


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("a.png")
    return "a.png"


def index(folder):
    return [json.loads(line) for line in (folder / "stories.jsonl").read_text().splitlines()]


def check(folder, expected):
    """Texts, images and notes in a folder are those of the pipeline."""
    for number, note in enumerate(index(folder)):
        assert note["texts"] == expected.texts[number]
        assert note["finished"] == expected.finished[number]
        assert len(note["images"]) == len(expected.images[number])
        for name, image in zip(note["images"], expected.images[number], strict=True):
            with Image.open(folder / name) as found:
                assert found.convert("RGB").tobytes() == image.tobytes()


def test_stories_and_their_notes(command, model, tmp_path, photo):
    requests = ["a star", "two squares"]
    run = ["tell", *requests, "--image", photo, "--model", model, *RUN, "--seed", 5]
    result = command(*run, "--output", "out")
    assert result.status == 0, result
    assert "2 stories in out" in result.output
    pipeline = ShowoPipeline.from_pretrained(model)
    options = {"decoding": DECODING, "max_steps": 2, "sampling_steps": 2}
    check(tmp_path / "out", pipeline.tell(requests, photo, seeds=[5, 6], **options))
    notes = index(tmp_path / "out")
    assert [(note["request"], note["image"], note["seed"]) for note in notes] == [
        ("a star", "a.png", 5),
        ("two squares", "a.png", 6),
    ]
    again = command(*run, "--output", "out")
    assert "2 from earlier" in again.output and index(tmp_path / "out") == notes


def test_a_story_whose_image_is_gone_is_told_again(command, model, tmp_path, photo):
    run = ["tell", "a star", "two squares", "--model", model, *RUN, "--output", "out"]
    assert command(*run).status == 0
    image = tmp_path / "out" / "00001-0.png"  # without one that is given, the first is drawn
    content = image.read_bytes()
    image.unlink()
    assert "2 stories in out, 1 from earlier" in command(*run).output
    assert image.read_bytes() == content
    assert [note["id"] for note in index(tmp_path / "out")] == ["00000", "00001"]


def test_a_file_of_stories(command, model, tmp_path, photo):
    lines = [{"request": "a star", "seed": 9, "id": 7}, {"request": "two squares"}]
    with open("stories.jsonl", "w") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    run = ["tell", "--stories_file", "stories.jsonl", "--model", model, *RUN, "--output", "out"]
    assert command(*run).status == 0
    pipeline = ShowoPipeline.from_pretrained(model)
    options = {"decoding": DECODING, "max_steps": 2, "sampling_steps": 2}
    check(tmp_path / "out", pipeline.tell(["a star", "two squares"], seeds=[9, 1], **options))
    assert [note["metadata"] for note in index(tmp_path / "out")] == [{"id": 7}, {}]


@pytest.mark.bad_input
class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "lines", "message"),
        [
            ([], [], "there are no requests; give some, or a file of them with --stories_file"),
            ([" "], [], "request 1 has an empty text for the request"),
            (["a", "--image", "b.png"], [], "b.png is not a file and does not lead to one"),
            (["a", "--image", "s.jsonl"], [], "s.jsonl cannot be read as an image"),
            (["a", "--max_steps", 0], [], "max_steps is 0; it must be at least 1"),
            (["a", "--stories_file", "s.jsonl"], [], "names requests and images, but there are"),
            (["--stories_file", "s.jsonl"], [{"image": "a.png"}], "nothing for 'request'"),
            (["--stories_file", "s.jsonl"], [[1]], "line 1 of s.jsonl has nothing for 'request'"),
            (
                ["--stories_file", "s.jsonl"],
                [{"request": "a", "image": "a.png"}, {"request": "b"}],
                "s.jsonl has stories with an image and others without; expected one kind",
            ),
            (["--stories_file", "s.jsonl"], [{"request": "a", "seed": -1}], "has seed -1"),
            (["star " * 600], [], "the first image and a step of a story may take"),
        ],
    )
    def test_options(self, mistake, model, tmp_path, photo, arguments, lines, message):
        with open("s.jsonl", "w") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        assert message in mistake("tell", *arguments, "--output", "out", "--model", model, *RUN[:4])
        assert not (tmp_path / "out").exists(), "nothing half-written"

    def test_a_folder_of_other_stories(self, command, mistake, model, tmp_path, photo):
        run = ["tell", "a star", "--model", model, *RUN, "--output", "out"]
        assert command(*run).status == 0
        assert "other stories" in mistake(*run, "--seed", 3)
