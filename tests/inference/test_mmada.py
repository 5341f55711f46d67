"""A family whose prompts see the image, in all that a pipeline draws."""

import pytest
import torch
from PIL import Image

from showo_turbo.inference import ShowoPipeline
from showo_turbo.sampling.editing import ImageEditing
from showo_turbo.text_tokenizer import TextTokenizer

from ..tiny import tiny_magvitv2
from ..tiny_mmada import shapes_mmada

HOW = {"sampling_steps": 3, "guidance_scale": 1.5}
PROMPTS = ["a red circle", "two blue squares and a green triangle"]


@pytest.fixture(scope="module")
def pipeline():
    """In double precision, so that no rounding tips a comparison."""
    tokenizers = tiny_magvitv2(bits=9), TextTokenizer.from_pretrained("shapes")
    return ShowoPipeline(shapes_mmada().double(), *tokenizers)


@pytest.fixture(scope="module")
def photos(pipeline):
    return pipeline.generate(PROMPTS, **HOW).images


def half_white(photo):
    mask = Image.new("L", photo.size, "black")
    mask.paste("white", (0, 0, photo.width // 2, photo.height))
    return mask


def test_inpainting(pipeline, photos):
    before = pipeline.encode_images(photos)
    drawn = pipeline.inpaint(photos, half_white(photos[0]), PROMPTS[::-1], **HOW)
    kept = pipeline.as_grids(drawn.codes == before)
    assert kept[..., 3:].all() and not kept[..., :3].all()
    for index, photo in enumerate(photos):
        prompt = PROMPTS[1 - index]
        alone = pipeline.inpaint(photo, half_white(photo), prompt, seeds=[index], **HOW)
        assert torch.equal(alone.codes[0], drawn.codes[index])


def test_extrapolation(pipeline, photos):
    before = pipeline.as_grids(pipeline.encode_images(photos))
    drawn = pipeline.extrapolate(photos, ["right", "up"], PROMPTS[0], **HOW)
    for grid, known in zip(drawn.grids, before, strict=True):
        assert grid.shape == (9, 9) and int(grid.max()) < 512
        assert torch.equal(grid[3:, :6], known)


def test_editing(pipeline, photos):
    editing = ImageEditing(rounds=1, remasked_share=0.25)
    drawn = pipeline.edit(photos, PROMPTS[::-1], editing=editing, **HOW)
    assert all(0.75 <= share < 1 for share in drawn.unchanged)


def test_negative_prompts(pipeline):
    plain = pipeline.generate(PROMPTS, **HOW).codes
    other = pipeline.generate(PROMPTS, negative_prompts=["a green star", None], **HOW).codes
    assert not torch.equal(plain[0], other[0])
    assert torch.equal(plain[1], other[1])
