import pytest
import torch

from showo_turbo.evaluation.collapse import image_signs, text_signs
from showo_turbo.evaluation.variety import code_entropy
from showo_turbo.sampling.autoregressive import autoregressive_decode
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.trajectories import ImageCollection, ImagePrompt, TextTrajectory
from showo_turbo.trajectories.image_collector import record_images

from ..tiny import tiny_showo

SAMPLING = ImageSampling(2, token_temperature=1.0)
"""Images differ by their seeds, whatever a random network makes of prompts."""

DECODING = TextDecoding(max_new_tokens=12)


@pytest.fixture
def student():
    return tiny_showo()


def images(network):
    prompts = [ImagePrompt(str(i), "", [i, i + 1, 2 * i]) for i in range(6)]
    settings = ImageCollection(SAMPLING, segments=1, topk_targets=1)
    return record_images(network, prompts, settings)


def say(network, token):
    """Have a network predict one token wherever it writes text, and one code of images."""
    with torch.no_grad():
        network.showo.lm_head.weight.zero_()
        network.showo.lm_head.bias.zero_()
        network.showo.lm_head.bias[[token, network.vocabulary.image_offset + 5]] = 40.0


def test_a_student_that_draws_what_was_recorded(student):
    assert code_entropy(torch.stack([record.codes for record in images(student)])) > 0.5
    signs = image_signs(student, images(student), SAMPLING)
    assert (signs.code_entropy, signs.agreement) == (1.0, 1.0)


def test_a_student_that_draws_one_image(student):
    records = images(tiny_showo(1))  # of several images
    say(student, 3)
    signs = image_signs(student, records, SAMPLING)
    codes = torch.stack([record.codes for record in records])
    assert signs.code_entropy == 0.0
    assert signs.agreement == pytest.approx(float((codes == 5).double().mean()))


def test_another_student_by_hand(student):
    records = images(tiny_showo(1))
    drawn = torch.stack([record.codes for record in images(student)])
    recorded = torch.stack([record.codes for record in records])
    signs = image_signs(student, records, SAMPLING)
    assert signs.agreement == pytest.approx(float((drawn == recorded).double().mean()))
    assert signs.code_entropy == pytest.approx(code_entropy(drawn) / code_entropy(recorded))


def test_answers_that_loop(student):
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 24, (4, 16), generator=generator)
    prompts = [[1], [2, 3], [4], [5, 6]]
    plain = autoregressive_decode(student, codes, prompts, max_new_tokens=12)
    records = [
        TextTrajectory(
            key="",
            text="",
            prompt_ids=torch.tensor(prompt),
            image=image,
            answer_ids=torch.tensor(answer.tokens),
            blocks=[],
        )
        for prompt, image, answer in zip(prompts, codes, plain, strict=True)
    ]
    assert text_signs(student, records, DECODING).agreement == 1.0
    records[0].answer_ids = records[0].answer_ids + 1
    assert text_signs(student, records, DECODING).agreement == 0.75
    say(student, 7)
    looping = text_signs(student, records, DECODING)
    assert (looping.repetitive, looping.agreement) == (1.0, 0.0)
