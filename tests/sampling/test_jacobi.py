import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from showo_turbo.errors import UserError
from showo_turbo.sampling.autoregressive import autoregressive_decode
from showo_turbo.sampling.jacobi import jacobi_decode

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
    codes, prompts = make_requests(network, 7, 150, longest=20)
    options = {"max_new_tokens": 24}
    plain = autoregressive_decode(network, codes, prompts, **options)
    parallel = jacobi_decode(network, codes, prompts, driver=driver, **options)
    assert [r.tokens for r in parallel] == [r.tokens for r in plain]
    assert [r.finished for r in parallel] == [r.finished for r in plain]


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
