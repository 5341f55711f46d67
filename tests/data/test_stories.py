import json

import numpy as np
import pytest
import torch
from PIL import Image

from showo_turbo.data import PretrainBatchSizes, PretrainDataModule, StoryFiles, stories
from showo_turbo.data.images import load_image, read_image
from showo_turbo.data.stories import load_pictures
from showo_turbo.errors import BadSample, UserError


def colored(number):
    return np.full((20, 20, 3), 40 * number, np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Two stories, of three and of two texts, and strips of pictures side by side."""
    (tmp_path / "imgseqs").mkdir()
    records = []
    for story, count in enumerate((3, 2)):
        segments = []
        for number in range(count):
            name = f"{story}-{number}.png"
            Image.fromarray(colored(number + story)).save(tmp_path / name)
            segments.append({"text": f" text {number} ", "image": name})
        records.append({"id": story, "segments": segments})
    strip = np.concatenate([colored(number) for number in range(3)], axis=1)
    Image.fromarray(strip).save(tmp_path / "imgseqs" / "bread.jpg", quality=100)
    (tmp_path / "stories.json").write_text(json.dumps(records))
    (tmp_path / "prompts.json").write_text(json.dumps({"bread": ["dough", "a loaf", "bread"]}))
    return tmp_path


def levels(pixels):
    return [round(float((image.mean() + 1) * 127.5) / 40) for image in pixels]


@pytest.mark.parametrize(
    ("file", "count", "texts"),
    [
        ("stories.json", 2, ["text 0", "text 1", "text 2"]),
        ("prompts.json", 1, ["dough", "a loaf", "bread"]),
    ],
)
def test_stories_begin_at_their_beginning(folder, file, count, texts):
    """Every beginning occurs: up to each picture, and the whole with an empty text behind it."""
    source = StoryFiles(folder, folder / file)
    stream = source.open(16)
    assert len(stream) == count
    seen = set()
    for seed in range(40):
        sample = stream.draw(0, seed)
        images = len(sample["pixels"])
        ended = len(sample["texts"]) > images
        assert sample["texts"] == [*texts, ""][: images + ended]
        assert levels(sample["pixels"]) == [0, 1, 2][:images]
        assert all(own.shape == (3, 16, 16) for own in sample["pixels"])
        assert sample["seed"] == seed
        seen.add((images, ended))
    assert seen == {(1, False), (2, False), (3, False), (3, True)}
    assert stream.draw(0, 7)["texts"] == stream.draw(0, 7)["texts"]


def test_a_batch_lists_stories_of_any_length(folder):
    data = PretrainDataModule(
        16,
        PretrainBatchSizes(image=0, text=0, language=0, story=2),
        stories=StoryFiles(folder, folder / "stories.json"),
    )
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))["story"]
    assert len(batch["texts"]) == len(batch["pixels"]) == 2
    for texts, pixels in zip(batch["texts"], batch["pixels"], strict=True):
        assert len(texts) - len(pixels) in (0, 1) and pixels[0].shape == (3, 16, 16)
    picture = load_image(folder / "0-0.png", 16)
    assert any(torch.equal(own[0], picture) for own in batch["pixels"])


def test_a_strip_is_read_once(folder, monkeypatch):
    read = []

    def counting(path, background):
        read.append(path)
        return read_image(path, background)

    monkeypatch.setattr(stories, "read_image", counting)
    (story,) = StoryFiles(folder, folder / "prompts.json").stories()
    assert levels(load_pictures(story.pictures, 16)) == [0, 1, 2]
    assert read == [folder / "imgseqs" / "bread.jpg"]


@pytest.mark.bad_input
class TestBadInput:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (3, "is 3; expected a list of stories"),
            ([], "holds no story; expected some"),
            ([{"id": 1}], "story 0 of .* has None for 'segments'; expected a list of texts"),
            ([{"segments": []}], "has \\[\\] for 'segments'; expected a list of texts"),
            (
                [{"segments": [{"text": "a", "image": "b"}]}],
                "has one text; expected the request and",
            ),
            ([{"segments": [{"image": "a.png"}]}], "segment 0 of story 0 .* nothing for 'text'"),
            ([{"segments": [{"text": " ", "image": "a"}]}], "an empty text for 'text'; fill it in"),
            ([{"segments": [{"text": "a"}]}], "segment 0 of story 0 .* has nothing for 'image'"),
            ([{"segments": [{"text": "a", "image": "../b"}]}], "expected a relative path inside"),
            ([{"id": [1], "segments": [{"text": "a", "image": "b"}]}], "has \\[1\\] for 'id'"),
            ({"bread": []}, "'bread' of .* is \\[\\]; expected a list of texts"),
            ({"bread": ["a", 3]}, "expected a list of texts, correct or remove it"),
            ({"../x": ["a"]}, "expected a relative path inside"),
        ],
    )
    def test_records(self, tmp_path, content, message):
        file = tmp_path / "stories.json"
        file.write_text(json.dumps(content))
        with pytest.raises(UserError, match=message):
            StoryFiles(tmp_path, file).stories()

    def test_bad_stories_can_be_left_out(self, folder):
        records = json.loads((folder / "stories.json").read_text())
        del records[0]["segments"][1]["text"]
        (folder / "stories.json").write_text(json.dumps(records))
        left_out = []
        stories = StoryFiles(folder, folder / "stories.json").stories(left_out.append)
        assert [story.id for story in stories] == ["1"] and len(left_out) == 1

    def test_pictures(self, folder):
        (folder / "prompts.json").write_text(json.dumps({"bread": ["a"] * 7}))
        stream = StoryFiles(folder, folder / "prompts.json").open(16)
        with pytest.raises(BadSample, match="60 pixels wide, which cannot be divided into 7"):
            stream.draw(0, 0)
        (folder / "0-0.png").unlink()
        stream = StoryFiles(folder, folder / "stories.json").open(16)
        with pytest.raises(BadSample, match=r"0-0\.png does not exist"):
            stream.draw(0, 0)

    def test_no_stories(self):
        data = PretrainDataModule(16, PretrainBatchSizes(image=0, text=0, language=0, story=2))
        with pytest.raises(UserError, match="stories is missing"):
            data.setup("fit")
        with pytest.raises(UserError, match="stories is of the class int"):
            PretrainDataModule(16, stories=3)
