"""Compiled decoding gives the tokens of the uncompiled one."""

import shutil

import pytest
import torch

from showo_turbo.models.showo.compiled import StaticKeyValueCache
from showo_turbo.sampling.autoregressive import autoregressive_decode
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.jacobi import jacobi_decode
from showo_turbo.sampling.parallel import decode_image_codes

from .. import naive
from ..sampling.answers import make_requests
from ..tiny import tiny_showo

BFLOAT16_TOLERANCE = 0.25
"""By how much a compiled logit may differ in bfloat16, where logits reach 40: two units in the last
place. Tokens may differ where the two likeliest are closer than that."""

PROMPTS = [[], [3], [1, 2, 3, 4, 5, 6, 7]]
SAMPLING = ImageSampling(4, 1.5, token_temperature=1.0, confidence_temperature=2.0)


def compiler_works():
    """Whether `torch.compile` can make code here: it calls a C++ compiler."""
    return any(shutil.which(name) for name in ("g++", "clang++", "c++"))


BACKENDS = [
    "eager",  # only the shapes and the tracing of compiled decoding
    pytest.param(
        "inductor",
        marks=[
            pytest.mark.slow,
            pytest.mark.skipif(not compiler_works(), reason="torch.compile needs a C++ compiler"),
        ],
    ),
]


def pair(backend, dtype=torch.float32):
    """The same network uncompiled and compiled."""
    plain, compiled = (tiny_showo(layers=1).to(dtype) for _ in range(2))
    compiled.compile_decoding(backend=backend)
    return plain, compiled


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_tokens(backend):
    plain, compiled = pair(backend)
    for prompts in (PROMPTS, PROMPTS[::-1], PROMPTS[:1]):
        expected = decode_image_codes(plain, prompts, SAMPLING)
        assert torch.equal(decode_image_codes(compiled, prompts, SAMPLING), expected)
    codes, prompts = make_requests(plain, 3, 5)
    options = {"max_new_tokens": 20}
    expected = [r.tokens for r in autoregressive_decode(plain, codes, prompts, **options)]
    found = autoregressive_decode(compiled, codes, prompts, **options)
    assert [r.tokens for r in found] == expected
    for driver in ("block", "window"):
        found = jacobi_decode(compiled, codes, prompts, driver=driver, **options)
        assert [r.tokens for r in found] == expected


@pytest.mark.parametrize("backend", BACKENDS)
def test_bfloat16_up_to_the_tolerance(backend):
    plain, compiled = pair(backend, torch.bfloat16)
    codes, prompts = make_requests(plain, 3, 6)
    expected = autoregressive_decode(plain, codes, prompts, max_new_tokens=12)
    found = autoregressive_decode(compiled, codes, prompts, max_new_tokens=12)
    for sample, (theirs, mine) in enumerate(zip(expected, found, strict=True)):
        pairs = list(zip(theirs.tokens, mine.tokens, strict=False))
        first = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if first is None:
            assert theirs.tokens == mine.tokens
            continue
        # Only where the uncompiled network hardly prefers its own token.
        state_logits = _next_logits(plain, codes[sample], prompts[sample], theirs.tokens[:first])
        a, b = pairs[first]
        assert state_logits[a] - state_logits[b] <= BFLOAT16_TOLERANCE


@torch.no_grad()
def _next_logits(network, codes, prompt, answer):
    ids, mask = naive.text_sequence(network, codes.tolist(), [*prompt, *answer])
    return network(ids, mask)[0, -1, : network.vocabulary.text_size].float()


def test_shapes_recur():
    """Whatever the number and length of prompts, few shapes are compiled."""
    torch.compiler.reset()
    shapes = set()

    def count(graph, inputs):
        shapes.add(tuple(tuple(t.shape) for t in inputs if isinstance(t, torch.Tensor)))
        return graph.forward

    network = tiny_showo(layers=1)
    network.compile_decoding(backend=count)
    for number in (3, 4):
        codes, prompts = make_requests(network, number, number)
        options = {"max_new_tokens": 12}
        plain = jacobi_decode(tiny_showo(layers=1), codes, prompts, **options)
        found = jacobi_decode(network, codes, prompts, **options)
        assert [r.tokens for r in found] == [r.tokens for r in plain]
    # One token or sixteen, in four, two or one rows.
    assert 0 < len(shapes) <= 6


def test_caches_of_one_shape_share_their_buffers():
    network = tiny_showo(layers=1)
    assert not isinstance(network.new_cache(3, 20), StaticKeyValueCache)
    network.compile_decoding(backend="eager")
    first = network.new_cache(3, 20)
    assert first.rows == 4
    assert network.new_cache(4, 30) is first
    assert network.new_cache(5, 30) is not first
    assert first.lengths.tolist() == [0] * 4


def test_samples_move_to_a_smaller_cache():
    network = tiny_showo(layers=1)
    network.compile_decoding(backend="eager")
    cache = network.new_cache(3, 20)
    with torch.no_grad():
        network.append(torch.tensor([[1], [2], [3]]), cache)
    cache.lengths = torch.tensor([1, 1, 1])
    before = cache._keys[0][:, :, 0].clone()
    chosen = cache.select(torch.tensor([2, 0]))
    assert chosen.rows == 2
    assert chosen.lengths.tolist() == [1, 1]
    assert torch.equal(chosen._keys[0][:, :, 0], before[[2, 0]])
