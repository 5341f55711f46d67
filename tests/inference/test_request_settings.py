import pytest

from showo_turbo.errors import UserError
from showo_turbo.inference.request_settings import decoding_of
from showo_turbo.sampling.text_decoding import DecodingChanges, TextDecoding

GREEDY = TextDecoding(max_new_tokens=32)
DRAWN = TextDecoding("autoregressive", temperature=0.5, top_k=40, top_p=0.9)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, GREEDY),
        ({"max_new_tokens": None, "do_sample": None, "temperature": None, "top_p": None}, GREEDY),
        ({"max_new_tokens": 7}, TextDecoding(max_new_tokens=7)),
        ({"max_new_tokens": "7"}, TextDecoding(max_new_tokens=7)),
        ({"temperature": 0, "top_p": 1.0, "num_beams": 1, "do_sample": False}, GREEDY),
        ({"temperature": 0, "top_p": 0}, GREEDY),
        ({"do_sample": False, "temperature": 0.7, "top_p": 0.5}, GREEDY),
        ({"do_sample": True, "temperature": 0}, GREEDY),
        ({"temperature": 0.7}, TextDecoding("autoregressive", 32, temperature=0.7)),
        ({"do_sample": True}, TextDecoding("autoregressive", 32, temperature=1.0)),
        (
            {"temperature": "0.7", "top_p": 0.5, "top_k": 9, "max_new_tokens": 5},
            TextDecoding("autoregressive", 5, temperature=0.7, top_k=9, top_p=0.5),
        ),
        (
            {"temperature": 0.7, "top_p": None, "top_k": 0},
            TextDecoding("autoregressive", 32, temperature=0.7),
        ),
    ],
)
def test_a_request_comes_before_a_greedy_model(settings, expected):
    assert decoding_of(settings, GREEDY) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"until": ["\n"]}, DRAWN),
        ({"do_sample": True}, DRAWN),
        ({"do_sample": False}, TextDecoding("autoregressive")),
        ({"temperature": 0}, TextDecoding("autoregressive")),
        ({"temperature": 2}, TextDecoding("autoregressive", temperature=2, top_k=40, top_p=0.9)),
        ({"top_k": 0}, TextDecoding("autoregressive", temperature=0.5, top_p=0.9)),
        ({"top_p": 0.1}, TextDecoding("autoregressive", temperature=0.5, top_k=40, top_p=0.1)),
    ],
)
def test_a_request_comes_before_a_model_that_draws(settings, expected):
    assert decoding_of(settings, DRAWN) == expected


@pytest.mark.parametrize(
    ("settings", "tokens", "size", "steps", "temperature"),
    [
        ({}, 512, 128, 256, 0.0),
        ({"max_new_tokens": 16}, 16, 16, 8, 0.0),
        ({"max_new_tokens": 200}, 200, 100, 100, 0.0),
        ({"max_new_tokens": 131}, 130, 65, 64, 0.0),  # half a token a step is rounded to even
        ({"max_new_tokens": 1024}, 1024, 128, 512, 0.0),
        ({"do_sample": True, "top_k": 5}, 512, 128, 256, 1.0),
        ({"max_new_tokens": 1, "temperature": 0.7}, 1, 1, 1, 0.7),
    ],
)
def test_a_model_that_denoises_its_text(settings, tokens, size, steps, temperature):
    own = TextDecoding("block_diffusion", 512, block_size=128, sampling_steps=256)
    found = decoding_of(settings, own)
    found.check()
    assert (found.max_new_tokens, found.block_size, found.sampling_steps) == (tokens, size, steps)
    assert (found.method, found.temperature) == ("block_diffusion", temperature)


def test_a_length_with_blocks_is_taken_as_it_is():
    own = TextDecoding("block_diffusion", 96, block_size=16, sampling_steps=6)
    assert DecodingChanges(max_new_tokens=64).over(own).sampling_steps == 4
    with pytest.raises(UserError, match="does not divide"):
        DecodingChanges(max_new_tokens=60, block_size=16).over(own).check()


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"max_new_tokens": "many"},
            "a request has 'many' for 'max_new_tokens'; expected a number",
        ),
        ({"max_new_tokens": 0}, "max_new_tokens is 0; it must be at least 1"),
        ({"temperature": []}, r"a request has \[\] for 'temperature'; expected a number"),
        ({"temperature": 1, "top_p": 0}, "top_p is 0.0; it must be above 0"),
    ],
)
def test_mistakes_are_explained(settings, message):
    with pytest.raises(UserError, match=message):
        decoding_of(settings, GREEDY)
