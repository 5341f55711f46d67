import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from showo_turbo.errors import UserError
from showo_turbo.models.showo import Showo
from showo_turbo.models.showo.sequences import format_question
from showo_turbo.sampling.autoregressive import autoregressive_decode
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.jacobi import jacobi_decode
from showo_turbo.sampling.parallel import decode_image_codes
from showo_turbo.sampling.text_state import TextState
from showo_turbo.text_tokenizer import TextTokenizer

from .. import naive
from ..tiny import golden_showo
from .answers import make_requests

DRIVERS = ["block", "window"]


@pytest.mark.parametrize("driver", DRIVERS)
@settings(max_examples=12)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 3),
    block_size=st.sampled_from([1, 2, 5, 16]),
    max_new_tokens=st.integers(1, 14),
    with_image=st.booleans(),
    block_start=st.sampled_from(["vocabulary", "prompt"]),
    forward_tokens=st.sampled_from([None, 1, 7, 20]),
)
def test_as_naive(
    precise_model,
    driver,
    seed,
    count,
    block_size,
    max_new_tokens,
    with_image,
    block_start,
    forward_tokens,
):
    codes, prompts = make_requests(precise_model, seed, count)
    codes = codes if with_image else None
    results = jacobi_decode(
        precise_model,
        codes,
        prompts,
        max_new_tokens=max_new_tokens,
        block_size=block_size,
        driver=driver,
        block_start=block_start,
        seeds=[seed + i for i in range(count)],
        forward_tokens=forward_tokens,
    )
    for sample, result in enumerate(results):
        image = None if codes is None else codes[sample].tolist()
        expected = naive.decode_text(precise_model, image, prompts[sample], max_new_tokens)
        assert result.tokens == expected
        assert result.finished == (expected[-1] == precise_model.vocabulary.eot_id)
        assert result.forwards <= len(expected), "every forward settles a token"


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("weights", ["random", "golden"])
def test_hundreds_of_prompts_in_single_precision(model, driver, weights):
    network = model if weights == "random" else golden_showo()
    codes, prompts = make_requests(network, 7, 250, longest=20)
    options = {"max_new_tokens": 24}
    plain = autoregressive_decode(network, codes, prompts, **options)
    parallel = jacobi_decode(network, codes, prompts, driver=driver, **options)
    assert [r.tokens for r in parallel] == [r.tokens for r in plain]
    assert [r.finished for r in parallel] == [r.finished for r in plain]


@pytest.mark.parametrize("forward_tokens", [1, 40, 400, None])
def test_batches_in_single_precision_however_far_ahead(forward_tokens):
    network = golden_showo()
    codes, prompts = make_requests(network, 8, 120, longest=20)
    plain = autoregressive_decode(network, codes, prompts, max_new_tokens=24)
    found = jacobi_decode(
        network,
        codes,
        prompts,
        max_new_tokens=24,
        driver="window",
        forward_tokens=forward_tokens,
    )
    assert [r.tokens for r in found] == [r.tokens for r in plain]
    if forward_tokens == 1:
        assert [r.forwards for r in found] == [len(r.tokens) for r in plain], "autoregression"


@pytest.fixture(scope="module")
def conversations(tmp_path_factory):
    """The trained base; codes of images and questions in its words, with its own answers."""
    network = Showo.from_pretrained("shapes").float().eval()
    texts = TextTokenizer.from_pretrained("shapes")
    questions = [
        "Describe the image in detail.",
        "What is in the image?",
        "How many shapes are there?",
        "What color is the circle?",
        "What is to the left of the square?",
    ]
    prompts = [texts.encode(format_question(text)) for text in questions] * 40
    generator = torch.Generator().manual_seed(11)
    codes = torch.randint(0, 512, (len(prompts), 36), generator=generator)
    # Half of them as the model draws, half at random, as far from training as can be.
    drawn = ["a red circle", "two blue squares", "a green star above a white circle"]
    ids = [texts.encode(drawn[index % 3]) for index in range(0, len(prompts), 2)]
    sampling = ImageSampling(4, token_temperature=1.0, confidence_temperature=1.0)
    codes[::2] = decode_image_codes(network, ids, sampling)
    plain = autoregressive_decode(network, codes, prompts, max_new_tokens=32)
    return network, codes, prompts, plain


@pytest.mark.parametrize("driver", DRIVERS)
def test_hundreds_of_prompts_on_trained_weights(conversations, driver):
    network, codes, prompts, plain = conversations
    found = jacobi_decode(network, codes, prompts, max_new_tokens=32, driver=driver)
    assert [r.tokens for r in found] == [r.tokens for r in plain]
    assert any(r.finished for r in plain)
    assert sum(r.forwards for r in found) < sum(r.forwards for r in plain)


def test_trained_answers_as_naive(conversations):
    network, codes, prompts, plain = conversations
    for sample in range(6):
        image = codes[sample].tolist()
        assert plain[sample].tokens == naive.decode_text(network, image, prompts[sample], 32)


@pytest.mark.parametrize(
    "naive_decode", [naive.decode_text_jacobi, naive.decode_text_jacobi_cached]
)
def test_naive_jacobi_agrees(precise_model, naive_decode):
    """The ways that the benchmarks measure against give the same answers."""
    codes, prompts = make_requests(precise_model, 13, 5)
    options = {"max_new_tokens": 15, "block_size": 6}
    for sample, result in enumerate(jacobi_decode(precise_model, codes, prompts, **options)):
        image = codes[sample].tolist()
        assert result.tokens == naive_decode(precise_model, image, prompts[sample], **options)


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_start_changes_the_work_but_not_the_answer(precise_model, driver):
    codes, prompts = make_requests(precise_model, 3, 4)
    runs = [
        jacobi_decode(
            precise_model, codes, prompts, max_new_tokens=20, driver=driver, seeds=[seed] * 4
        )
        for seed in range(4)
    ]
    assert len({tuple(tuple(r.tokens) for r in run) for run in runs}) == 1
    if driver == "block":
        assert len({tuple(run[0].blocks[0][0].tolist()) for run in runs}) == 4


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("block_start", ["vocabulary", "prompt"])
def test_a_sample_depends_on_its_own_seed_only(precise_model, driver, block_start):
    codes, prompts = make_requests(precise_model, 5, 4)
    options = {
        "max_new_tokens": 20, "driver": driver, "block_size": 6, "block_start": block_start
    }  # fmt: skip
    seeds = [3, 1, 4, 1]
    together = jacobi_decode(precise_model, codes, prompts, seeds=seeds, **options)
    for sample in range(4):
        (alone,) = jacobi_decode(
            precise_model,
            codes[sample : sample + 1],
            [prompts[sample]],
            seeds=[seeds[sample]],
            **options,
        )
        assert alone.tokens == together[sample].tokens
        assert alone.forwards == together[sample].forwards
        for mine, theirs in zip(alone.blocks, together[sample].blocks, strict=True):
            assert torch.equal(mine, theirs)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("with_image", [False, True])
@pytest.mark.parametrize("at_once", [1, 3, 7])
def test_others_take_the_places_of_those_that_are_done(
    precise_model, driver, with_image, at_once, monkeypatch
):
    count = 20
    codes, prompts = make_requests(precise_model, 9, count, longest=20)
    codes = codes if with_image else None
    options = {"max_new_tokens": 24, "driver": driver, "block_size": 6}
    expected = jacobi_decode(precise_model, codes, prompts, **options)
    rows, ended = [], []
    given = TextState.predict

    def noted(state, guesses):
        rows.append(len(guesses))
        return given(state, guesses)

    monkeypatch.setattr(TextState, "predict", noted)
    found = jacobi_decode(
        precise_model, codes, prompts, **options, at_once=at_once, done=ended.append
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.tokens, ours.forwards, ours.finished) == (
            theirs.tokens,
            theirs.forwards,
            theirs.finished,
        )
        assert len(ours.blocks) == len(theirs.blocks)
        assert all(map(torch.equal, ours.blocks, theirs.blocks))
    assert max(rows) == at_once and sum(ended) == count
    waits = sum(
        max(result.forwards for result in expected[start : start + at_once])
        for start in range(0, count, at_once)
    )
    assert len(rows) == waits if at_once == 1 else len(rows) < waits


@pytest.mark.bad_input
def test_at_once_is_a_number_of_places(precise_model):
    codes, prompts = make_requests(precise_model, 9, 1)
    with pytest.raises(UserError, match="at_once is 0"):
        jacobi_decode(precise_model, codes, prompts, max_new_tokens=2, at_once=0)


@pytest.mark.parametrize("driver", DRIVERS)
def test_restricted_to_text_or_not(model, driver):
    codes, prompts = make_requests(model, 1, 10)
    options = {"max_new_tokens": 8, "restrict_to_text": False}
    found = jacobi_decode(model, codes, prompts, driver=driver, **options)
    expected = autoregressive_decode(model, codes, prompts, **options)
    assert [r.tokens for r in found] == [r.tokens for r in expected]
    assert any(token >= model.vocabulary.text_size for r in found for token in r.tokens)


@pytest.mark.bad_input
class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"max_new_tokens": 0}, "max_new_tokens is 0; it must be at least 1"),
            ({"block_size": 0}, "block_size is 0; it must be at least 1"),
            ({"forward_tokens": 0}, "forward_tokens is 0; it must be at least 1"),
            ({"driver": "both"}, "driver is 'both'; choose 'block' or 'window'"),
            ({"block_start": "eot"}, "block_start is 'eot'; choose 'vocabulary' or 'prompt'"),
            ({"seeds": []}, "0 seeds for 1 prompt"),
            ({"starts": [[1, 2, 3]]}, "3 start tokens; expected block_size=16"),
        ],
    )
    def test_options(self, model, options, message):
        codes, prompts = make_requests(model, 0, 1)
        with pytest.raises(UserError, match=message):
            jacobi_decode(model, codes, prompts, **{"max_new_tokens": 2, **options})
