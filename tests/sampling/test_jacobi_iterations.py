"""What each forward of Jacobi decoding computes, and what is recorded of it."""

from contextlib import contextmanager
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from showo_turbo.sampling.autoregressive import autoregressive_decode
from showo_turbo.sampling.jacobi import jacobi_decode

from .. import naive
from ..tiny import golden_jacobi
from .answers import make_requests

DRIVERS = ["block", "window"]


def test_golden_iterates():
    """The recorded iterates, but for the last, which only verifies the fixed point."""
    result, iterates = golden_jacobi()
    assert torch.equal(iterates[-1], iterates[-2])
    assert torch.equal(result.blocks[0], iterates[:-1])
    assert result.tokens == iterates[-1].tolist()


def test_only_the_unsettled_tail_of_those_that_go_on_is_computed(precise_model, counted):
    """Sample by sample: what each forward feeds, from the recorded lengths of the settled part."""
    codes, prompts = make_requests(precise_model, 21, 12)
    block_size = 8
    with counted(precise_model) as shapes:
        results = jacobi_decode(
            precise_model, codes, prompts, max_new_tokens=20, block_size=block_size
        )
    assert len(shapes) == 1 + max(result.forwards for result in results)
    ragged = 0
    for index, (rows, tokens) in enumerate(shapes[1:]):
        going_on = [result for result in results if result.forwards > index]
        assert rows == len(going_on), "finished samples leave the batch"
        tails = [_unsettled(result, index, block_size) for result in going_on]
        assert tokens == sum(tails), "nothing is padded"
        ragged += min(tails) < max(tails)
    assert ragged and len({rows for rows, _ in shapes}) > 1


@settings(max_examples=10)
@given(
    seed=st.integers(0, 2**16),
    count=st.integers(1, 5),
    block_size=st.sampled_from([2, 5, 8]),
    forward_tokens=st.sampled_from([None, 1, 6, 13, 40]),
    with_image=st.booleans(),
)
def test_windows_as_naive(
    precise_model, counted, seed, count, block_size, forward_tokens, with_image
):
    """Answers and the work of every forward, with as many tokens ahead as it is shared out to."""
    codes, prompts = make_requests(precise_model, seed, count)
    seeds = [seed + 7 * i for i in range(count)]
    options = {"block_size": block_size, "forward_tokens": forward_tokens, "seeds": seeds}
    with counted(precise_model) as shapes:
        results = jacobi_decode(
            precise_model,
            codes if with_image else None,
            prompts,
            max_new_tokens=12,
            driver="window",
            **options,
        )
    images = codes.tolist() if with_image else [None] * count
    requests = list(zip(images, prompts, strict=True))
    answers, tokens = naive.decode_texts_in_windows(precise_model, requests, 12, **options)
    assert [result.tokens for result in results] == answers
    assert [found for _, found in shapes[1:]] == tokens


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


@pytest.fixture(scope="module")
def counted():
    """Notes for how many rows each forward over a cache computes how many tokens."""

    @contextmanager
    def count(network):
        shapes = []
        original = network._run

        def run(input_ids, mask, positions, cache, *arguments, **options):
            shapes.append((len(cache.lengths), input_ids.numel()))
            return original(input_ids, mask, positions, cache, *arguments, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(network, "_run", run)
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


def test_start_tokens_come_from_the_prompt_s_text(precise_model):
    vocabulary = precise_model.vocabulary
    prompt = [5, vocabulary.soi_id, 6, 6, vocabulary.mask_id]
    codes = torch.zeros(2, 16, dtype=torch.long)
    options = {"max_new_tokens": 20, "block_size": 6, "block_start": "prompt", "seeds": [42, 43]}
    result, empty = jacobi_decode(precise_model, codes, [prompt, []], **options)
    generator = torch.Generator().manual_seed(42)
    for block in result.blocks:
        expected = [(5, 6, 6)[i] for i in torch.randint(3, (6,), generator=generator).tolist()]
        assert block[0].tolist() == expected
    options |= {"block_start": "vocabulary", "seeds": [43]}
    (plain,) = jacobi_decode(precise_model, codes[:1], [[]], **options)
    assert torch.equal(empty.blocks[0][0], plain.blocks[0][0])


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
