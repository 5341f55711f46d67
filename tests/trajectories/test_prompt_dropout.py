import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.trajectories import Collecting, ImageCollection, PromptDropout, Sampled
from showo_turbo.utils.random import stateless_seed, uniform

from ..tiny import tiny_showo

SETTINGS = ImageCollection(ImageSampling(8, mask_schedule="linear"), segments=1, topk_targets=3)


def test_a_share_of_the_images_loses_its_prompts_and_nothing_else(teacher, prompts):
    collecting = Collecting({"teacher": teacher}, SETTINGS)
    seeds = [stateless_seed(number) for number in range(len(prompts))]
    images = Sampled().draw(collecting, prompts, seeds)
    records = PromptDropout(Sampled(), share=0.5).draw(collecting, prompts, seeds)
    lost = 0
    for prompt, seed, image, record in zip(prompts, seeds, images, records, strict=True):
        assert torch.equal(record.codes, image.codes)
        assert torch.equal(record.reveal_step, image.reveal_step)
        drops = uniform(seed, stream="prompt dropout") < 0.5
        expected = teacher.null_prompt_of(prompt.ids) if drops else prompt.ids
        assert record.prompt_ids.tolist() == list(expected)
        assert record.prompt == ("" if drops else prompt.text)
        lost += drops
    assert 0 < lost < len(prompts)


def test_it_needs_the_base_if_its_source_does():
    assert PromptDropout(Sampled(network="base")).needs_base
    assert not PromptDropout(Sampled()).needs_base


@pytest.mark.bad_input
def test_what_cannot_be_dropped():
    with pytest.raises(UserError, match="source of PromptDropout is of the class int"):
        PromptDropout(1)
    with pytest.raises(UserError, match=r"share of PromptDropout is -0\.1"):
        PromptDropout(Sampled(), share=-0.1)
    odd = ImageSampling(8, mask_schedule="linear")
    with pytest.raises(UserError):
        source = PromptDropout(Sampled())
        source.check(ImageCollection(odd, segments=1), tiny_showo(image_tokens=4))
