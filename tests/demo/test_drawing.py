"""What the page shows of a drawing and of an answer, without a page."""

import numpy as np
import pytest
from PIL import Image

from showo_turbo.demo.asking import Settling, ask, iterates_as_html
from showo_turbo.demo.drawing import Frame, drawing_frames, enlarged, frame_at
from showo_turbo.errors import UserError
from showo_turbo.inference import ShowoPipeline
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.text_tokenizer import TextTokenizer

from ..tiny import tiny_magvitv2
from ..tiny_mmada import shapes_mmada


@pytest.fixture(scope="module")
def pipeline():
    return ShowoPipeline.from_pretrained("shapes")


def test_frames_are_the_states_of_the_image(pipeline):
    sampling = ImageSampling(4, guidance_scale=1.0, reveal_order="halton")
    frames = drawing_frames(pipeline, "a photo of a red circle", sampling, seed=3)
    assert [frame.step for frame in frames] == [0, 1, 2, 3, 4]
    times = [frame.milliseconds for frame in frames]
    assert times[0] == 0 and times == sorted(times) and times[-1] > 0
    (expected,) = pipeline.generate(["a photo of a red circle"], sampling, seeds=3).images
    assert frames[-1].picture.size == (288, 288)
    assert np.array_equal(np.asarray(frames[-1].picture), np.asarray(enlarged(expected)))
    gray = [(np.asarray(frame.picture) == 128).all(axis=-1).mean() for frame in frames]
    assert gray[0] == 1 and gray[-1] == 0 and gray == sorted(gray, reverse=True)


def test_the_frame_of_a_moment():
    frames = [Frame(n, 10.0 * n, Image.new("RGB", (1, 1))) for n in range(4)]
    assert [frame_at(frames, time).step for time in (0, 9.9, 10, 29, 30, 99)] == [0, 0, 1, 2, 3, 3]


def test_small_pictures_are_enlarged_without_blurring():
    picture = Image.new("RGB", (24, 24), "white")
    picture.putpixel((0, 0), (255, 0, 0))
    large = enlarged(picture)
    assert large.size == (288, 288)
    assert set(large.getcolors()) == {(144, (255, 0, 0)), (288 * 288 - 144, (255, 255, 255))}
    assert enlarged(Image.new("RGB", (512, 512))).size == (512, 512)


def test_an_answer_settles_to_what_answer_gives(pipeline):
    (image,) = pipeline.generate(["a photo of a red circle"], sampling_steps=4).images
    told = ask(pipeline, image, "Describe the image in detail.")
    (expected,) = pipeline.answer(image, "Describe the image in detail.").texts
    assert told.text == expected
    assert told.blocks and sum(len(block.rows[0]) for block in told.blocks) == told.tokens
    for block in told.blocks:
        assert block.settled[-1] == len(block.rows[-1])
        assert list(block.settled) == sorted(block.settled)
    assert f"{told.tokens} tokens in {told.forwards} forward passes" in told.summary()


def test_an_answer_that_is_denoised():
    """Every block comes out of the mask, until it is what `answer` gives."""
    network = shapes_mmada(text_vocabulary_size=656, vocabulary_size=656 + 512)
    networks = network, tiny_magvitv2(bits=9), TextTokenizer.from_pretrained("shapes")
    decoding = TextDecoding("block_diffusion", 12, block_size=4, sampling_steps=6)
    pipeline = ShowoPipeline(*networks, decoding=decoding)
    image = Image.new("RGB", (24, 24), "red")
    told = ask(pipeline, image, "What is it?")
    assert told.text == pipeline.answer(image, "What is it?", seeds=0).texts[0]
    assert sum(len(block.rows[0]) for block in told.blocks) == told.tokens
    steps = pipeline.decoding.denoising.steps_per_block
    for block in told.blocks:
        assert len(block.rows) == steps + 1 and set(block.rows[0]) == {None}
        known = [sum(text is not None for text in row) for row in block.rows]
        assert known == sorted(known) and known[-1] == len(block.rows[0])
    assert iterates_as_html(told.blocks, 1).count("class='open'") == len(told.blocks[0].rows[0])


def test_iterates_as_html():
    blocks = [Settling([["<b>", "x"], ["a", "b"]], [0, 2]), Settling([["c"]], [1])]
    assert iterates_as_html(blocks, 0) == ""
    one = iterates_as_html(blocks, 1)
    assert "&lt;b&gt;" in one and "settled'" not in one and one.count("<tr>") == 1
    whole = iterates_as_html(blocks, 3)
    assert whole.count("<table>") == 2 and whole.count("<td class='settled'>") == 3


@pytest.mark.bad_input
def test_a_prompt_that_is_too_long(pipeline):
    with pytest.raises(UserError, match="tokens"):
        drawing_frames(pipeline, "red " * 500, ImageSampling(2), 0)
