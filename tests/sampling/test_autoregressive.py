import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from showo_turbo.errors import UserError
from showo_turbo.sampling.autoregressive import _draw, autoregressive_decode

from .. import naive
from .answers import make_requests


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 4), with_image=st.booleans())
def test_greedy_as_naive(precise_model, seed, count, with_image):
    codes, prompts = make_requests(precise_model, seed, count)
    codes = codes if with_image else None
    results = autoregressive_decode(precise_model, codes, prompts, max_new_tokens=12)
    for sample, result in enumerate(results):
        image = None if codes is None else codes[sample].tolist()
        expected = naive.decode_text(precise_model, image, prompts[sample], 12)
        assert result.tokens == expected
        assert result.forwards == len(expected)
        assert result.finished == (expected[-1] == precise_model.vocabulary.eot_id)


def test_some_answers_end_and_some_do_not(model):
    codes, prompts = make_requests(model, 0, 60)
    results = autoregressive_decode(model, codes, prompts, max_new_tokens=12)
    assert {result.finished for result in results} == {True, False}
    for result in results:
        assert model.vocabulary.eot_id not in result.tokens[:-1]
        assert len(result.tokens) == 12 or result.finished


def test_restricted_to_text_or_not(model):
    codes, prompts = make_requests(model, 1, 20)
    everything = autoregressive_decode(
        model, codes, prompts, max_new_tokens=8, restrict_to_text=False
    )
    text = autoregressive_decode(model, codes, prompts, max_new_tokens=8)
    size = model.vocabulary.text_size
    assert any(token >= size for result in everything for token in result.tokens)
    assert all(token < size for result in text for token in result.tokens)
    image = codes[0].tolist()
    assert everything[0].tokens == naive.decode_text(
        model, image, prompts[0], 8, restrict_to_text=False
    )


class TestSampling:
    @settings(max_examples=15)
    @given(
        seed=st.integers(0, 2**32),
        count=st.integers(1, 3),
        temperature=st.sampled_from([0.5, 1.0, 3.0]),
        top_k=st.sampled_from([None, 1, 4, 30]),
        top_p=st.sampled_from([None, 0.3, 0.9, 1.0]),
    )
    def test_as_naive_with_the_same_seed(
        self, precise_model, seed, count, temperature, top_k, top_p
    ):
        codes, prompts = make_requests(precise_model, seed, count)
        options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        seeds = [seed + sample for sample in range(count)]
        results = autoregressive_decode(
            precise_model, codes, prompts, max_new_tokens=10, seeds=seeds, **options
        )
        for sample, result in enumerate(results):
            assert result.tokens == naive.decode_text(
                precise_model,
                codes[sample].tolist(),
                prompts[sample],
                10,
                seed=seeds[sample],
                **options,
            )

    def test_own_seed_only(self, precise_model):
        codes, prompts = make_requests(precise_model, 2, 4)
        options = {"max_new_tokens": 10, "temperature": 1.0, "top_k": 20, "top_p": 0.95}
        seeds = [11, 12, 13, 14]
        together = autoregressive_decode(precise_model, codes, prompts, seeds=seeds, **options)
        backwards = autoregressive_decode(
            precise_model, codes.flip(0), prompts[::-1], seeds=seeds[::-1], **options
        )
        assert [r.tokens for r in backwards] == [r.tokens for r in together][::-1]
        for sample in range(4):
            (alone,) = autoregressive_decode(
                precise_model,
                codes[sample : sample + 1],
                [prompts[sample]],
                seeds=[seeds[sample]],
                **options,
            )
            assert alone.tokens == together[sample].tokens

    def test_other_seeds_give_other_texts(self, model):
        codes, prompts = make_requests(model, 3, 1)
        answers = {
            tuple(
                autoregressive_decode(
                    model, codes, prompts, max_new_tokens=10, temperature=3.0, seeds=[seed]
                )[0].tokens
            )
            for seed in range(10)
        }
        assert len(answers) > 5

    def test_top_k_of_one_is_greedy(self, model):
        codes, prompts = make_requests(model, 4, 3)
        greedy = autoregressive_decode(model, codes, prompts, max_new_tokens=8)
        for options in ({"top_k": 1}, {"top_p": 1e-9}):
            drawn = autoregressive_decode(
                model, codes, prompts, max_new_tokens=8, temperature=1.0, **options
            )
            assert [r.tokens for r in drawn] == [r.tokens for r in greedy]

    @pytest.mark.parametrize(
        ("top_k", "top_p", "expected"),
        [
            # shares of 0.5, 0.3, 0.15 and 0.05, drawn at 0.00, 0.30, 0.60, 0.85 and 0.99
            (None, None, [0, 0, 1, 2, 3]),
            (2, None, [0, 0, 0, 1, 1]),  # 0.625 and 0.375 are left
            (None, 0.75, [0, 0, 0, 1, 1]),
            (None, 0.85, [0, 0, 1, 2, 2]),  # 0.526, 0.316 and 0.158 are left
            (3, 0.45, [0, 0, 0, 0, 0]),
        ],
    )
    def test_drawing_by_hand(self, top_k, top_p, expected):
        shares = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
        order = torch.tensor([2, 0, 3, 1])  # likeliest first: ids 2, 0, 3, 1
        logits = torch.empty(4, dtype=torch.float64)
        logits[order] = shares.log()
        uniform = torch.tensor([0.0, 0.30, 0.60, 0.85, 0.99], dtype=torch.float64)
        drawn = _draw(logits.expand(5, -1), top_k, top_p, uniform)
        assert drawn.tolist() == order[expected].tolist()


@pytest.mark.bad_input
class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"max_new_tokens": 0}, "max_new_tokens is 0; it must be at least 1"),
            ({"temperature": -0.5}, "temperature is -0.5; it must be 0 or more"),
            ({"temperature": float("nan")}, "temperature is nan; it must be 0 or more"),
            ({"top_k": 0}, "top_k is 0; choose 1 to 30"),
            ({"top_k": 31}, "top_k is 31; choose 1 to 30"),
            ({"top_p": 0.0}, "top_p is 0.0; it must be above 0"),
            ({"top_p": 1.5}, "top_p is 1.5; it must be above 0 and at most 1"),
            ({"seeds": [1, 2]}, "2 seeds for 1 prompt"),
        ],
    )
    def test_options(self, model, options, message):
        codes, prompts = make_requests(model, 0, 1)
        with pytest.raises(UserError, match=message):
            autoregressive_decode(model, codes, prompts, **{"max_new_tokens": 2, **options})

    def test_no_prompts(self, model):
        with pytest.raises(UserError, match="there are no prompts"):
            autoregressive_decode(model, None, [], max_new_tokens=2)

    def test_images_of_another_number(self, model):
        codes, prompts = make_requests(model, 0, 2)
        with pytest.raises(UserError, match="2 images for 1 prompt"):
            autoregressive_decode(model, codes, prompts[:1], max_new_tokens=2)

    @pytest.mark.parametrize("code", [-1, 24, 1000])
    def test_codes_outside_the_codebook(self, model, code):
        codes, prompts = make_requests(model, 0, 1)
        codes[0, 3] = code
        with pytest.raises(
            UserError, match=f"image code {code} lies outside of the codebook 0..23"
        ):
            autoregressive_decode(model, codes, prompts, max_new_tokens=2)
