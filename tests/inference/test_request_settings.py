import pytest

from showo_turbo.errors import UserError
from showo_turbo.inference.request_settings import decoding_of
from showo_turbo.sampling.text_decoding import TextDecoding

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
