from contextlib import contextmanager
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from showo_turbo.errors import UserError
from showo_turbo.models.showo import Showo
from showo_turbo.prompting import format_question
from showo_turbo.sampling.autoregressive import autoregressive_decode
from showo_turbo.sampling.jacobi import jacobi_decode
from showo_turbo.sampling.parallel import ImageSampling, decode_image_codes
from showo_turbo.text_tokenizer import TextTokenizer

from .. import naive
from ..tiny import golden_cases, golden_showo, tiny_showo
from .answers import make_requests

DRIVERS = ["block", "window"]


@pytest.fixture(scope="module")
def model():
    return tiny_showo()


@pytest.fixture(scope="module")
def precise_model():
    """In double precision no rounding can tip one of thousands of comparisons."""
    return tiny_showo().double()


def test_golden_iterates():
    """The recorded iterates, but for the last, which only verifies the fixed point."""
    model, golden = golden_showo(), golden_cases()
    iterates = golden["jacobi.iterates"]
    (result,) = jacobi_decode(
        model,
        golden["mmu.input_ids"][:, 2:18] - model.vocabulary.image_offset,
        [[20, 21, 22]],
        max_new_tokens=8,
        block_size=8,
        starts=[iterates[0].tolist()],
        restrict_to_text=False,
    )
    assert torch.equal(iterates[-1], iterates[-2])
    assert torch.equal(result.blocks[0], iterates[:-1])
    assert result.tokens == iterates[-1].tolist()


@pytest.mark.parametrize("driver", DRIVERS)
@settings(max_examples=12)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 3),
    block_size=st.sampled_from([1, 2, 5, 16]),
    max_new_tokens=st.integers(1, 14),
    with_image=st.booleans(),
)
def test_as_naive(precise_model, driver, seed, count, block_size, max_new_tokens, with_image):
    codes, prompts = make_requests(precise_model, seed, count)
    codes = codes if with_image else None
    results = jacobi_decode(
        precise_model,
        codes,
        prompts,
        max_new_tokens=max_new_tokens,
        block_size=block_size,
        driver=driver,
        seeds=[seed + i for i in range(count)],
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


@pytest.mark.parametrize("driver", DRIVERS)
def test_only_the_unsettled_tail_of_those_that_go_on_is_computed(precise_model, driver, counted):
    """Sample by sample: what each forward feeds, from the recorded lengths of the settled part."""
    codes, prompts = make_requests(precise_model, 21, 12)
    block_size = 8
    with counted(precise_model) as shapes:
        results = jacobi_decode(
            precise_model, codes, prompts, max_new_tokens=20, block_size=block_size, driver=driver
        )
    assert len(shapes) == 1 + max(result.forwards for result in results)
    for index, (rows, width) in enumerate(shapes[1:]):
        going_on = [result for result in results if result.forwards > index]
        assert rows == len(going_on), "finished samples leave the batch"
        if driver == "window":
            assert width == block_size
        else:
            assert width == max(_unsettled(result, index, block_size) for result in going_on)
    assert len({rows for rows, _ in shapes}) > 1


def _unsettled(result, forward, block_size):
    """Tokens of a block that are not settled before a forward, told from its iterates."""
    for block in result.blocks:
        iterations = len(block) - 1
        if forward >= iterations:
            forward -= iterations
            continue
        settled = 0
        for before, after in pairwise(block[: forward + 1]):
            while settled < block_size - 1 and before[settled] == after[settled]:
                settled += 1
            settled += 1
        return block_size - settled
    raise AssertionError("no such forward")


@pytest.fixture
def counted(monkeypatch):
    """Notes how many rows and tokens each forward over a cache computes."""

    @contextmanager
    def count(network):
        shapes = []
        original = network.append

        def append(input_ids, *arguments, **options):
            shapes.append(tuple(input_ids.shape))
            return original(input_ids, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(network, "append", append)
            yield shapes

    return count


def test_start_tokens_come_from_the_seed(precise_model):
    codes, prompts = make_requests(precise_model, 2, 1)
    options = {"max_new_tokens": 20, "block_size": 6, "seeds": [42]}
    (result,) = jacobi_decode(precise_model, codes, prompts, **options)
    generator = torch.Generator().manual_seed(42)
    text_size = precise_model.vocabulary.text_size
    for block in result.blocks:
        assert torch.equal(block[0], torch.randint(text_size, (6,), generator=generator))


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
def test_a_sample_depends_on_its_own_seed_only(precise_model, driver):
    codes, prompts = make_requests(precise_model, 5, 4)
    options = {"max_new_tokens": 20, "driver": driver, "block_size": 6}
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
def test_a_perfect_guess_settles_a_block_in_one_forward(precise_model, driver):
    codes, prompts = make_requests(precise_model, 0, 40)
    plain = autoregressive_decode(precise_model, codes, prompts, max_new_tokens=8)
    sample = next(i for i, result in enumerate(plain) if not result.finished)
    (result,) = jacobi_decode(
        precise_model,
        codes[sample : sample + 1],
        [prompts[sample]],
        max_new_tokens=8,
        block_size=8,
        driver=driver,
        starts=[plain[sample].tokens],
    )
    assert result.tokens == plain[sample].tokens
    assert result.forwards == 1


def test_recorded_blocks_are_jacobi_iterations(precise_model):
    """Row by row: the prefix that has settled grows, and ends at the answer."""
    codes, prompts = make_requests(precise_model, 9, 5)
    results = jacobi_decode(precise_model, codes, prompts, max_new_tokens=20, block_size=6)
    for result in results:
        answer = result.tokens
        assert sum(len(block) - 1 for block in result.blocks) == result.forwards
        for index, block in enumerate(result.blocks):
            settled_tokens = answer[index * 6 : (index + 1) * 6]
            valid = len(settled_tokens)
            before = -1
            for row in block[1:].tolist():
                agrees = [a == b for a, b in zip(row[:valid], settled_tokens, strict=True)]
                settled = agrees.index(False) if False in agrees else valid
                assert settled > before or settled == valid
                before = settled
            assert block[-1, :valid].tolist() == settled_tokens


def test_only_the_block_driver_records(model):
    codes, prompts = make_requests(model, 0, 1)
    (result,) = jacobi_decode(model, codes, prompts, max_new_tokens=6, driver="window")
    assert result.blocks == []


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
            ({"driver": "both"}, "driver is 'both'; choose 'block' or 'window'"),
            ({"seeds": []}, "0 seeds for 1 prompt"),
            ({"starts": [[1, 2, 3]]}, "3 start tokens; expected block_size=16"),
        ],
    )
    def test_options(self, model, options, message):
        codes, prompts = make_requests(model, 0, 1)
        with pytest.raises(UserError, match=message):
            jacobi_decode(model, codes, prompts, **{"max_new_tokens": 2, **options})
