"""`showo-turbo generate-video`, `inflate`, and `answer` about clips."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from showo_turbo.cli.image_files import find_clips
from showo_turbo.data.clip_writing import write_clip
from showo_turbo.data.clips import read_frames
from showo_turbo.errors import UserError
from showo_turbo.inference import ShowoPipeline
from showo_turbo.models.magvitv2 import MAGVITv2

from ..clips import colored_frames, write_clip_model

RUN = ["--sampling_steps", 3, "--token_temperature", 1.0]
HOW = {"sampling_steps": 3, "token_temperature": 1.0}


@pytest.fixture(scope="module")
def clip_model(tmp_path_factory):
    return write_clip_model(tmp_path_factory.mktemp("clips") / "model")


def index(folder):
    return [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]


def test_clips_and_their_notes(command, clip_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    colored_frames(count=1)[0].save("a.png")
    run = ["generate-video", "a star", "two squares", "--model", clip_model, "--seed", 5, *RUN]
    run += ["--image", "a.png", "--by_frame", "--format", "webp", "--output", "out"]
    result = command(*run)
    assert result.status == 0, result
    assert "2 clips in out" in result.output
    pipeline = ShowoPipeline.from_pretrained(clip_model)
    options = {"by_frame": True, "seeds": [5, 6], **HOW}
    expected = pipeline.generate_video(["a star", "two squares"], "a.png", **options)
    for note, video in zip(index(tmp_path / "out"), expected.videos, strict=True):
        assert note["by_frame"] is True and note["image"] == "a.png"
        found = read_frames(tmp_path / "out" / note["file"])
        # Decoded in other batches, values may be rounded otherwise.
        for written, frame in zip(found, video, strict=True):
            difference = np.asarray(written).astype(int) - np.asarray(frame)
            assert np.abs(difference).max() <= 1
    assert [note["seed"] for note in index(tmp_path / "out")] == [5, 6]
    assert "2 from earlier" in command(*run).output


def test_videos_are_written_and_asked_about(command, mistake, clip_model, tmp_path):
    pytest.importorskip("av")
    output = tmp_path / "out"
    run = ["generate-video", "a star", "--model", clip_model, *RUN, "--format", "mp4"]
    result = command(*run, "--output", output)
    assert result.status == 0, result
    file = output / "00000.mp4"
    assert len(read_frames(file)) == 9
    ask = ["answer", file, "--question", "What moves?", "--model", clip_model]
    result = command(*ask, "--max_new_tokens", 6, "--output", tmp_path / "answers")
    assert result.status == 0, result
    file.write_bytes(file.read_bytes()[:300])
    assert "00000.mp4 cannot be read as a clip" in mistake(*ask, "--output", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_gif_is_the_default(command, clip_model, tmp_path):
    run = ["generate-video", "a star", "--model", clip_model, *RUN, "--output", tmp_path / "out"]
    assert command(*run).status == 0
    assert [path.name for path in sorted((tmp_path / "out").glob("*.gif"))] == ["00000.gif"]


def test_answers_about_a_clip(command, clip_model, tmp_path):
    write_clip(tmp_path / "a.gif", colored_frames())
    run = ["answer", tmp_path / "a.gif", "--question", "What moves?", "--model", clip_model]
    result = command(*run, "--max_new_tokens", 6, "--output", tmp_path / "out")
    assert result.status == 0, result
    assert (tmp_path / "out" / "answers.jsonl").exists()


def test_answers_about_folders(command, clip_model, tmp_path):
    """A folder of frames is a clip; of a folder of clips, each is asked about."""
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(colored_frames()):
        frame.save(tmp_path / "frames" / f"{number}.png")
    for name in ("a.gif", "b.webp"):
        (tmp_path / "clips").mkdir(exist_ok=True)
        write_clip(tmp_path / "clips" / name, colored_frames())
    line = {"image": "frames", "question": "What moves?"}
    (tmp_path / "q.jsonl").write_text(json.dumps(line))
    rest = ["--model", clip_model, "--max_new_tokens", 6, "--output"]
    run = ["answer", tmp_path / "frames", tmp_path / "clips", "--question", "What moves?", *rest]
    for given, names in (
        (run, ["frames", "a.gif", "b.webp"]),
        (["answer", "--questions_file", tmp_path / "q.jsonl", *rest], ["frames"]),
    ):
        output = tmp_path / f"out{len(names)}"
        result = command(*given, output)
        assert result.status == 0, result
        lines = (output / "answers.jsonl").read_text().splitlines()
        notes = [json.loads(own) for own in lines]
        assert [Path(note["image"]).name for note in notes] == names
        assert len({note["answer"] for note in notes}) == 1


def test_a_folder_is_no_image(mistake, model, tmp_path):
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "a.mp4").write_bytes(b"a video")
    (tmp_path / "q.jsonl").write_text(json.dumps({"image": "frames", "question": "x"}))
    rest = ["--model", model]
    assert "frames is not a file" in mistake(
        "answer", "--questions_file", tmp_path / "q.jsonl", *rest
    )
    found = mistake("answer", tmp_path / "frames", "--question", "x", *rest)
    assert "frames holds no images" in found


def test_clips_in_folders(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"a video")
    colored_frames()[0].save(tmp_path / "b.png")
    assert find_clips([str(tmp_path)]) == [tmp_path / "a.mp4", tmp_path / "b.png"]
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match=r"none holds no clips .* and no frames"):
        find_clips([str(tmp_path / "none")])
    with pytest.raises(UserError, match="there are no clips"):
        find_clips([])


def test_a_tokenizer_is_inflated(command, tmp_path):
    result = command("inflate", "shapes", tmp_path / "clips")
    assert result.status == 0, result
    assert "of 1 + 4n frames" in result.output
    clips, images = (MAGVITv2.from_pretrained(own) for own in (tmp_path / "clips", "shapes"))
    pixels = torch.rand(2, 3, 24, 24) * 2 - 1
    assert torch.equal(clips.encode(pixels), images.encode(pixels))


@pytest.mark.bad_input
class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "there are no prompts; give some"),
            (["a", "--frames_per_second", 0], "frames_per_second is 0.0; it must be 0.1 to 100"),
            (["a", "--frames_per_second", 1e-4], "frames_per_second is 0.0001; it must be 0.1"),
            (["a", "--image", __file__], "cannot be read as an image"),
            (["a", "--image", "none.png"], "none.png is not a file and does not lead to one"),
            (["a", "--format", "mp4"], "videos need PyAV, which is not installed"),
            (["a", "--format", "avi"], "avi is not one of 'gif', 'webp', 'mp4'"),
        ],
    )
    def test_options(self, mistake, clip_model, tmp_path, monkeypatch, arguments, message):
        monkeypatch.setitem(sys.modules, "av", None)
        run = ["generate-video", *arguments, "--model", clip_model, "--output", tmp_path / "out"]
        assert message in mistake(*run)
        assert not (tmp_path / "out").exists(), "nothing half-written"

    def test_a_folder_of_another_format(self, command, mistake, clip_model, tmp_path):
        run = ["generate-video", "a", "--model", clip_model, *RUN, "--output", tmp_path / "out"]
        assert command(*run).status == 0
        assert "format 'gif' instead of 'webp'" in mistake(*run, "--format", "webp")

    def test_a_model_of_images(self, mistake, model, tmp_path):
        run = ["generate-video", "a", "--model", model, "--output", tmp_path / "out"]
        assert "the model generates images, not clips" in mistake(*run)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("frames", "message"),
        [(8, "a.gif has 8 frames; expected 9"), (0, "a.gif cannot be read as a clip")],
    )
    def test_a_clip_to_ask_about(self, mistake, clip_model, tmp_path, frames, message):
        write_clip(tmp_path / "a.gif", colored_frames(count=max(1, frames)))
        if not frames:
            (tmp_path / "a.gif").write_bytes(b"no clip")
        run = ["answer", tmp_path / "a.gif", "--question", "x", "--model", clip_model]
        assert message in mistake(*run, "--output", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_a_folder_that_exists(self, mistake, clip_model, tmp_path):
        message = mistake("inflate", "shapes", clip_model)
        assert "exists; expected a new folder" in message
        clips = clip_model / "image_tokenizer"
        assert "takes clips already" in mistake("inflate", clips, tmp_path / "out")
        options = ["--temporal_halvings", 3]
        assert "temporal_halvings is 3" in mistake("inflate", "shapes", tmp_path / "out", *options)
        assert not (tmp_path / "out").exists()
