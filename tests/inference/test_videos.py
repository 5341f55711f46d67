"""Clips by the pipeline."""

import pytest
import torch

from showo_turbo.data.clip_writing import write_clip
from showo_turbo.data.clips import load_clip
from showo_turbo.data.images import square_pixels, to_images
from showo_turbo.errors import UserError
from showo_turbo.inference import Prompts, ShowoPipeline, VideoGeneration
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.sampling.videos import decode_clip_codes

from ..clips import clip_networks, colored_frames, write_clip_model
from ..tiny import tiny_magvitv2, tiny_networks

PROMPTS = ["a red circle", "two squares"]
DRAWN = {"sampling_steps": 3, "guidance_scale": 1.5, "token_temperature": 1.0}
HOW = ImageSampling(**DRAWN)


@pytest.fixture(scope="module")
def clips():
    return ShowoPipeline(*clip_networks())


@pytest.mark.parametrize("by_frame", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_is_the_sampler_and_the_tokenizer(clips, given, by_frame):
    images = colored_frames(3, 2) if given else None
    result = clips.generate_video(PROMPTS, images, by_frame=by_frame, seeds=[5, 7], **DRAWN)
    known = None
    if given:
        pixels = torch.stack([square_pixels(image, 16) for image in images])
        first = clips.image_tokenizer.encode(pixels)
        known = torch.full((2, 48), 64)
        known[:, :16] = first
        assert torch.equal(result.codes[:, :16], first)
    ids = clips.encode_prompts(PROMPTS)
    codes = decode_clip_codes(clips.network, ids, HOW, [5, 7], known, by_frame=by_frame)
    assert torch.equal(result.codes, codes)
    # One at a time, as clips are decoded.
    decoded = torch.cat([clips.image_tokenizer.decode(own[None], (3, 4, 4)) for own in codes])
    assert decoded.shape == (2, 3, 9, 16, 16)
    for video, first, pixels in zip(result.videos, result.images, decoded, strict=True):
        expected = to_images(pixels.transpose(0, 1))
        assert [frame.tobytes() for frame in video] == [frame.tobytes() for frame in expected]
        assert first.tobytes() == expected[0].tobytes()
    rounds = (2 if given else 3) if by_frame else 1  # a frame that is given takes no step
    cost = result.statistics
    assert (cost.samples, cost.forwards) == (2, 2 * 2 * 3 * rounds)
    assert cost.tokens == 2 * (32 if given else 48)


def test_a_folder_is_loaded_with_its_tokenizer(tmp_path, clips):
    loaded = ShowoPipeline.from_pretrained(write_clip_model(tmp_path / "model"))
    assert (loaded.clip_frames, loaded.resolution, loaded.grid) == (9, 16, (3, 4, 4))
    ours, theirs = (p.generate_video("a red circle", **DRAWN).codes for p in (clips, loaded))
    assert torch.equal(ours, theirs)


def test_answers_about_clips(tmp_path, clips):
    """Of files, folders and frames, the same clip being the same whatever it is given as."""
    frames = colored_frames()
    write_clip(tmp_path / "a.gif", frames)
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(frames):
        frame.save(tmp_path / "frames" / f"{number}.png")
    sources = [tmp_path / "a.gif", tmp_path / "frames", frames, colored_frames(90)]
    decoding = TextDecoding(max_new_tokens=6)
    found = clips.answer(sources, "What moves?", decoding)
    assert found.tokens[0] == found.tokens[1] == found.tokens[2]
    pixels = load_clip(frames, 9, 16)[None]
    codes = clips.image_tokenizer.encode(pixels)
    ids = [clips.encode_question("What moves?", 6)]
    (expected,) = decoding.decode(clips.network, codes, ids, [0])
    assert found.tokens[0] == expected.tokens


@pytest.mark.bad_input
class TestBadInput:
    def test_models_of_images_and_of_clips(self, clips):
        images = ShowoPipeline(*tiny_networks())
        with pytest.raises(UserError, match="generates images, not clips"):
            images.generate_video(PROMPTS)
        with pytest.raises(UserError, match="generates clips, not images"):
            clips.generate(PROMPTS)
        with pytest.raises(UserError, match="generates clips, not stories"):
            clips.tell(PROMPTS)
        with pytest.raises(UserError, match="a list of frames is given for an image"):
            images.answer([colored_frames()], "What moves?")

    def test_a_tokenizer_of_images(self):
        showo, _, texts = clip_networks()
        with pytest.raises(UserError, match="the image tokenizer takes images alone"):
            ShowoPipeline(showo, tiny_magvitv2(), texts)

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            (colored_frames(count=8), "the clip has 8 frames; expected 9"),
            (colored_frames()[0], "a single image is given for a clip"),
            ("none.gif", r"none\.gif does not exist; expected a clip"),
        ],
    )
    def test_clips_that_cannot_be_read(self, clips, source, message):
        with pytest.raises(UserError, match=message):
            clips.answer([source], "What moves?")

    def test_options(self, clips):
        """Found before anything is drawn."""
        task = VideoGeneration(Prompts(PROMPTS), by_frame=True)
        with pytest.raises(UserError, match="sampling_steps is 17"):
            clips.draw_batches(task, ImageSampling(17))
        noisy = ImageSampling(2, reveal_order="halton", confidence_temperature=1.0)
        with pytest.raises(UserError, match="reveal_order 'halton' takes no noise"):
            clips.draw_batches(task, noisy)

    def test_images_that_cannot_be_read(self, clips):
        with pytest.raises(UserError, match=r"none\.png does not exist"):
            clips.generate_video(PROMPTS, "none.png")
        with pytest.raises(UserError, match="2 prompts and 3 images"):
            clips.generate_video(PROMPTS, colored_frames(count=3))
