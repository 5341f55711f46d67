"""Stories by the pipeline."""

import numpy as np
import pytest
import torch
from PIL import Image

from showo_turbo.data.images import to_images
from showo_turbo.errors import UserError
from showo_turbo.inference import ShowoPipeline
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.stories import tell_stories
from showo_turbo.sampling.text_decoding import TextDecoding

from ..tiny import tiny_networks

REQUESTS = ["a red circle", "two squares, then more"]
HOW = {"sampling_steps": 2, "guidance_scale": 1.5}
DECODING = TextDecoding(max_new_tokens=6)


@pytest.fixture(scope="module")
def teller():
    """A pipeline with random weights that tells something before it ends."""
    for seed in range(40):
        showo, image_tokenizer, text_tokenizer = tiny_networks(seed)
        with torch.no_grad():
            showo.showo.lm_head.bias[0] += 2
        pipeline = ShowoPipeline(showo, image_tokenizer, text_tokenizer)
        told = pipeline.tell(REQUESTS, decoding=DECODING, max_steps=1, **HOW)
        if any(told.texts):
            return pipeline
    raise AssertionError("none of these tells anything")


@pytest.fixture(scope="module")
def photos():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 20, 3), dtype=np.uint8)
    return [Image.fromarray(image) for image in pixels]


@pytest.mark.parametrize("given", [True, False])
def test_is_the_sampler_and_the_tokenizers(teller, photos, given):
    images = photos if given else None
    result = teller.tell(REQUESTS, images, decoding=DECODING, max_steps=2, seeds=[4, 9], **HOW)
    network, tokenizer = teller.network, teller.text_tokenizer
    codes = [[row] for row in teller.encode_images(photos).tolist()] if given else [[], []]
    prompts = [
        network.story_prompt([tokenizer.encode(request)], own)
        for request, own in zip(REQUESTS, codes, strict=True)
    ]
    told = tell_stories(network, prompts, ImageSampling(**HOW), DECODING, max_steps=2, seeds=[4, 9])
    assert result.texts == [[tokenizer.decode(t).strip() for t in own.texts] for own in told]
    assert result.finished == [own.finished for own in told]
    assert result.seeds == [4, 9]
    for images, codes, own in zip(result.images, result.codes, told, strict=True):
        assert len(images) == len(own.images) == len(own.texts) + (not given)
        for image, drawn, expected in zip(images, codes, own.images, strict=True):
            assert torch.equal(drawn, expected)
            (decoded,) = to_images(teller.image_tokenizer.decode(expected[None]))
            assert image.tobytes() == decoded.tobytes()
    cost = result.statistics
    assert cost.samples == 2
    assert cost.forwards == sum(own.text_forwards + own.image_forwards for own in told)
    assert given or any(own.texts for own in told), "the test is to see some"


def test_the_batch_size_changes_nothing(teller):
    together = teller.tell(REQUESTS, decoding=DECODING, max_steps=2, batch_size=2, **HOW)
    alone = teller.tell(REQUESTS, decoding=DECODING, max_steps=2, batch_size=1, **HOW)
    assert together.texts == alone.texts
    assert [len(own) for own in together.codes] == [len(own) for own in alone.codes]
    for first, second in zip(together.codes, alone.codes, strict=True):
        assert all(map(torch.equal, first, second))


def test_one_image_goes_with_all_requests(teller, photos):
    both = teller.tell(REQUESTS, photos[0], decoding=DECODING, max_steps=1, **HOW)
    one = teller.tell(REQUESTS[1], photos[0], decoding=DECODING, max_steps=1, seeds=1, **HOW)
    assert both.texts[1:] == one.texts


@pytest.mark.bad_input
class TestBadInput:
    @pytest.mark.parametrize("given", [True, False])
    def test_room_is_looked_for_before_anything_is_told(self, teller, photos, given):
        images = photos[:1] if given else None
        decoding = TextDecoding(max_new_tokens=500)
        with pytest.raises(UserError, match=r"a step of a story may take (520|538) tokens"):
            teller.tell_batches(["a red circle"], images, ImageSampling(2), decoding)

    @pytest.mark.parametrize(
        ("requests", "options", "message"),
        [
            ([], {}, "there are no requests; give at least one"),
            (["a", " "], {}, "request 2 is empty; expected a text, write one"),
            (["a"], {"max_steps": 0}, "max_steps is 0; it must be at least 1"),
            (["a"], {"sampling_steps": 0}, "sampling_steps is 0"),
            (["a"], {"images": "none.png"}, r"none\.png does not exist; expected an image"),
            (["a"] * 2, {"images": ["x"] * 3}, "2 requests and 3 images; give one of each"),
            (["a"], {"decoding": TextDecoding(method="block_diffusion")}, "needs a model whose"),
        ],
    )
    def test_options(self, teller, requests, options, message):
        with pytest.raises(UserError, match=message):
            teller.tell(requests, **options)
