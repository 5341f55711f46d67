"""Questions to models that read continuous features of images."""

import pytest
import torch

from showo_turbo.evaluation import Share, TextRecord, encode_records, evaluate_text
from showo_turbo.evaluation.data import GatheredBatches
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.viz.strips import draw_answer_strip

from .. import naive
from ..continuous import feature_networks, tiny_clip

QUESTIONS = ["What is there?", "What color?", "Where?"]


@pytest.fixture(scope="module")
def bundle():
    return LoadedModel(*feature_networks(), vision_encoder=tiny_clip())


def pixels():
    return torch.rand(3, 3, 20, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_batches_are_encoded_and_answered(bundle):
    gathered = GatheredBatches(bundle.image_encoder, Share())
    asked = {"pixels": pixels(), "question": QUESTIONS, "answer": ["Yes."] * 3}
    gathered.add({"instructions": asked})
    features = tiny_clip().encode(pixels()).half()
    for record, expected in zip(gathered.texts, features, strict=True):
        assert torch.equal(record.image, expected)
    network, tokenizer = bundle.network, bundle.text_tokenizer
    expected = tuple(
        tokenizer.decode(
            naive.decode_features(
                network, image.float(), network.encode_question(tokenizer, question), 8
            )
        )
        for image, question in zip(features, QUESTIONS, strict=True)
    )
    raw = [TextRecord(image, q, "Yes.") for image, q in zip(pixels(), QUESTIONS, strict=True)]
    for method in ("jacobi", "autoregressive"):
        decoding = TextDecoding(method=method, max_new_tokens=8, block_size=4)
        for records in (gathered.texts, raw):
            score = evaluate_text(bundle, records, decoding=decoding, batch_size=2, timed=0)
            assert score.answers == expected


def test_what_is_encoded_is_not_encoded_again(bundle):
    records = [TextRecord(image, "What?", "That.") for image in pixels()]
    encoded = encode_records(bundle.image_encoder, records)
    again = encode_records(bundle.image_encoder, encoded)
    for first, second in zip(encoded, again, strict=True):
        assert torch.equal(first.image, second.image)


def test_a_strip_of_an_answer(bundle, tmp_path):
    """The strip is of the answer, if there is one that ends."""
    bias = bundle.network.showo.lm_head.bias.detach()
    before = bias.clone()
    bias[bundle.network.eot_id] += 100
    (record,) = encode_records(bundle.image_encoder, [TextRecord(pixels()[0], "What?", "That.")])
    assert draw_answer_strip(bundle, record, tmp_path / "answer.png")
    assert (tmp_path / "answer.png").is_file()
    bias.copy_(before)
