import json
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from showo_turbo.data import CaptionFiles, InstructionFiles, clips
from showo_turbo.data.clip_writing import write_clip
from showo_turbo.data.clips import load_clip, read_frames
from showo_turbo.data.images import load_image
from showo_turbo.errors import BadSample, UserError


def frames(count=5, size=(20, 16)):
    """Pictures of one color each, which GIF keeps exactly."""
    return [Image.new("RGB", size, (40 * number, 0, 255 - number)) for number in range(count)]


@pytest.fixture
def folder(tmp_path):
    for ending in (".gif", ".webp"):
        write_clip(tmp_path / f"a{ending}", frames())
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(frames()):
        frame.save(tmp_path / "frames" / f"{number:02d}.png")
    return tmp_path


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "frames"])
def test_frames_are_read_in_their_order(folder, name):
    found = read_frames(folder / name)
    assert [frame.tobytes() for frame in found] == [frame.tobytes() for frame in frames()]
    clip = load_clip(folder / name, 5, 16)
    assert clip.shape == (3, 5, 16, 16)
    for number in range(5):
        expected = load_image(folder / "frames" / f"{number:02d}.png", 16)
        assert torch.equal(clip[:, number], expected)
    assert torch.equal(clip, load_clip(frames(), 5, 16))


@pytest.mark.parametrize("digits", [1, 2])
def test_numbers_in_the_names_of_frames_are_compared_as_numbers(tmp_path, digits):
    shown = frames(12)
    for number, frame in enumerate(shown):
        frame.save(tmp_path / f"frame {number + 1:0{digits}d} of 12.png")
    found = read_frames(tmp_path)
    assert [frame.tobytes() for frame in found] == [frame.tobytes() for frame in shown]


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_frames_that_are_alike_are_counted(tmp_path, ending):
    """Moving pictures hold them once, for a longer time."""
    first, second, *_ = frames()
    shown = [first, second, second, second, second, first, first, first, first]
    write_clip(tmp_path / f"a{ending}", shown)
    found = read_frames(tmp_path / f"a{ending}")
    assert [frame.tobytes() for frame in found] == [frame.tobytes() for frame in shown]


@pytest.mark.parametrize("frames_per_second", [3, 8, 24, 30, 60])
@pytest.mark.parametrize("ending", [".gif", ".webp"])
@pytest.mark.parametrize("counts", [(17,), (16, 1), (1, 16), (8, 9), (2, 2, 2), (1,)])
def test_what_is_written_is_read(tmp_path, counts, ending, frames_per_second):
    """Static and late-starting clips, too, in which no frame is shown for the time of one."""
    shown = [frame for n, frame in zip(counts, frames(), strict=False) for _ in range(n)]
    path = tmp_path / f"a{ending}"
    write_clip(path, shown, frames_per_second)
    found = read_frames(path, wanted=len(shown))
    assert [frame.tobytes() for frame in found] == [frame.tobytes() for frame in shown]
    assert torch.equal(load_clip(path, len(shown), 16), load_clip(shown, len(shown), 16))


def test_durations_that_are_rounded(tmp_path):
    """As other programs write them: frames of 33 ms in the hundredths of a second of GIF."""
    first, second, third, *_ = frames()
    times = [30, 330, 60]
    options = {"save_all": True, "append_images": [second, third], "duration": times}
    first.save(tmp_path / "a.gif", **options)
    assert load_clip(tmp_path / "a.gif", 13, 16).shape[1] == 13
    with pytest.raises(BadSample, match=r"a\.gif has more than 11 frames"):
        load_clip(tmp_path / "a.gif", 11, 16)


def test_videos(tmp_path):
    pytest.importorskip("av")
    write_clip(tmp_path / "a.mp4", frames(9, (32, 24)))
    clip = load_clip(tmp_path / "a.mp4", 9, 24)
    expected = load_clip(frames(9, (32, 24)), 9, 24)
    assert (clip - expected).abs().mean() < 0.05


def test_captions_and_questions_of_clips(folder):
    coco = {
        "images": [{"id": 1, "file_name": "a.gif"}, {"id": 2, "file_name": "frames"}],
        "annotations": [{"image_id": i, "caption": f"clip {i}"} for i in (1, 2)],
    }
    (folder / "captions.json").write_text(json.dumps(coco))
    stream = CaptionFiles(folder, folder / "captions.json", frames=5).open(16)
    batch = stream.collate([stream.draw(0, 3), stream.draw(1, 4)])
    assert batch["pixels"].shape == (2, 3, 5, 16, 16)
    assert torch.equal(batch["pixels"][0], batch["pixels"][1])
    assert batch["caption"] == ["clip 1", "clip 2"]
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "Colors."}]
    (folder / "q.json").write_text(json.dumps([{"image": "a.webp", "conversations": turns}]))
    questions = InstructionFiles(folder, folder / "q.json", frames=5).open(16)
    assert torch.equal(questions.draw(0, 0)["pixels"], batch["pixels"][0])


@pytest.mark.bad_input
class TestBadInput:
    @pytest.mark.parametrize(("wanted", "found"), [(4, "more than 4"), (6, "5")])
    @pytest.mark.parametrize("name", ["a.gif", "a.webp", "frames"])
    def test_a_wrong_number_of_frames(self, folder, name, wanted, found):
        with pytest.raises(BadSample, match=rf"{name} has {found} frames"):
            load_clip(folder / name, wanted, 16)

    def test_a_still_image_is_no_clip(self, tmp_path):
        """In 100 ms there is no room for 17 frames, which last at least 10 ms each in GIF."""
        first, second = frames(2)
        first.save(tmp_path / "still.gif", duration=100)
        with pytest.raises(BadSample, match=r"still\.gif has 1 frames?"):
            load_clip(tmp_path / "still.gif", 17, 16)
        first.save(tmp_path / "two.gif", save_all=True, append_images=[second], duration=20)
        with pytest.raises(BadSample, match=r"two\.gif has 2 frames"):
            load_clip(tmp_path / "two.gif", 8, 16)

    def test_changing_size(self, folder):
        Image.new("RGB", (20, 18)).save(folder / "frames" / "03.png")
        with pytest.raises(BadSample, match="frames changes from 20 x 16 to 20 x 18 pixels at fr"):
            load_clip(folder / "frames", 5, 16)
        with pytest.raises(BadSample, match="the clip changes from 20 x 16 to 8 x 8 pixels"):
            load_clip([*frames(4), Image.new("RGB", (8, 8))], 5, 16)

    @pytest.mark.parametrize("name", ["a.gif", "a.webp"])
    @pytest.mark.parametrize("kept", [0, 40])
    def test_a_broken_file(self, folder, name, kept):
        (folder / name).write_bytes((folder / name).read_bytes()[:kept])
        with pytest.raises(BadSample, match=rf"{name} (cannot be read as a clip|has \d frames)"):
            load_clip(folder / name, 5, 16)

    def test_a_broken_video(self, tmp_path):
        pytest.importorskip("av")
        (tmp_path / "a.mp4").write_bytes(b"no video")
        with pytest.raises(BadSample, match=r"a\.mp4 cannot be read as a clip"):
            load_clip(tmp_path / "a.mp4", 5, 16)

    def test_a_playlist_with_the_name_of_a_video(self, tmp_path):
        """It would have FFmpeg open what it names."""
        pytest.importorskip("av")
        write_clip(tmp_path / "b.mp4", frames())
        playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nb.mp4\n#EXT-X-ENDLIST\n"
        (tmp_path / "a.mp4").write_text(playlist)
        with pytest.raises(BadSample, match=r"a\.mp4 cannot be read as a clip"):
            load_clip(tmp_path / "a.mp4", 5, 16)

    @pytest.mark.parametrize("width", [32, 100_000])
    def test_what_a_video_may_open_and_hold(self, tmp_path, monkeypatch, width):
        """By a stand-in for PyAV: no other formats or protocols, and no frames without end."""
        opened = []

        class Container:
            streams = SimpleNamespace(
                video=[SimpleNamespace(codec_context=SimpleNamespace(width=width, height=1000))]
            )

            def __enter__(self):
                return self

            def __exit__(self, *error):
                pass

            def decode(self, video):
                while width == 32:
                    yield SimpleNamespace(to_image=lambda: frames(1)[0])
                raise AssertionError("it was to be checked before it is decoded")

        def opening(path, container_options):
            opened.append((path, container_options))
            return Container()

        monkeypatch.setitem(sys.modules, "av", SimpleNamespace(open=opening))
        (tmp_path / "a.mkv").write_bytes(b"a video")
        message = "has more than 5 frames" if width == 32 else "100000 x 1000 pixels are more than"
        with pytest.raises(BadSample, match=message):
            load_clip(tmp_path / "a.mkv", 5, 16)
        allowed = {"format_whitelist": "mov,matroska,avi", "protocol_whitelist": "file"}
        assert opened == [(str(tmp_path / "a.mkv"), allowed)]

    def test_a_picture_of_too_many_pixels(self, folder, monkeypatch):
        monkeypatch.setattr(clips, "MAX_PIXELS", 300)
        with pytest.raises(BadSample, match=r"a\.gif cannot be read .* \(20 x 16 pixels are more"):
            load_clip(folder / "a.gif", 5, 16)

    def test_a_pipe(self, tmp_path):
        os.mkfifo(tmp_path / "a.gif")
        with pytest.raises(BadSample, match=r"a\.gif is not a file"):
            load_clip(tmp_path / "a.gif", 5, 16)

    def test_a_video_without_its_library(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "av", None)
        (tmp_path / "a.mp4").write_bytes(b"a video")
        with pytest.raises(UserError, match=r"videos need PyAV.*install showo-turbo\[video\]"):
            load_clip(tmp_path / "a.mp4", 5, 16)
        with pytest.raises(UserError, match="videos need PyAV"):
            write_clip(tmp_path / "b.mp4", frames())
        assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]

    def test_other_files(self, folder, tmp_path):
        (folder / "a.txt").write_text("no clip")
        (folder / "none").mkdir()
        for name, message in (
            ("a.txt", "is of another kind; expected .gif"),
            ("b.gif", "does not exist; expected a clip"),
            ("none", "holds no frames"),
        ):
            with pytest.raises(BadSample, match=message):
                load_clip(folder / name, 5, 16)
        with pytest.raises(BadSample, match="a single image is given for a clip"):
            load_clip(frames()[0], 5, 16)
        with pytest.raises(UserError, match=r"is to be a \.avi file"):
            write_clip(folder / "a.avi", frames())

    def test_questions_are_not_distilled(self, tmp_path):
        questions = InstructionFiles(tmp_path, tmp_path / "q.json", frames=5)
        with pytest.raises(UserError, match="has questions about clips, which can be pretrained"):
            questions.requests()

    @pytest.mark.parametrize("files", [CaptionFiles, InstructionFiles])
    def test_no_frames(self, tmp_path, files):
        with pytest.raises(UserError, match="frames is 0"):
            files(tmp_path, tmp_path / "a.json", frames=0)

    def test_small_frames(self):
        tiny = [Image.fromarray(np.zeros((4, 30, 3), np.uint8))] * 2
        with pytest.raises(BadSample, match="frames of 30 x 4 pixels"):
            load_clip(tiny, 2, 16)
