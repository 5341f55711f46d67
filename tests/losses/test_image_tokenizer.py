import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from showo_turbo.losses.image_tokenizer import (
    bit_entropy,
    codebook_entropy,
    commitment_loss,
    entropy_loss,
    object_weights,
    reconstruction_error,
    sample_entropy,
)

from ..tiny import golden_cases

CERTAIN = 20.0  # a latent so large that its bit is as good as known


def as_latents(*vectors):
    """One image, one row: a latent vector a column."""
    return torch.tensor(vectors, dtype=torch.float64).T[None, :, None, :]


class TestGolden:
    def test_entropy_loss(self):
        cases = golden_cases()
        loss = 0.1 * entropy_loss(cases["magvit.pre_quant"])  # published weight
        torch.testing.assert_close(loss[None], cases["magvit.entropy_loss"], rtol=0, atol=1e-6)

    def test_commitment_loss(self):
        cases = golden_cases()
        # Published weight 0.1, of the distance once as commitment and 0.25 times as codebook loss.
        loss = 0.1 * 1.25 * commitment_loss(cases["magvit.pre_quant"])
        torch.testing.assert_close(loss[None], cases["magvit.quantizer_loss"], rtol=0, atol=1e-6)


class TestReconstructionError:
    def test_by_hand(self):
        pixels = torch.zeros(1, 3, 1, 2)
        reconstructed = torch.tensor([[[[1.0, 0.0]], [[2.0, 0.0]], [[0.0, 3.0]]]])
        assert reconstruction_error(reconstructed, pixels).item() == pytest.approx(14 / 6)
        weights = torch.tensor([[[3.0, 1.0]]])
        expected = (3 * (1 + 4) / 3 + 9 / 3) / 4
        assert reconstruction_error(reconstructed, pixels, weights).item() == pytest.approx(
            expected
        )

    def test_equal_weights_are_no_weights(self):
        first, second = torch.randn(2, 2, 3, 4, 4)
        weighted = reconstruction_error(first, second, torch.full((2, 4, 4), 5.0))
        torch.testing.assert_close(weighted, torch.nn.functional.mse_loss(first, second))


class TestObjectWeights:
    @pytest.mark.parametrize("background", [-1.0, 1.0])
    def test_what_differs_from_the_border(self, background):
        pixels = torch.full((2, 3, 5, 5), background)
        pixels[0, 1, 2, 3] = 0.0
        pixels[1, :, 0, 0] = 0.0  # one corner is not the background
        pixels[1, 0, 3, 3] = background * 0.95  # within the tolerance
        weights = object_weights(pixels, 8.0)
        expected = torch.ones(2, 5, 5)
        expected[0, 2, 3] = expected[1, 0, 0] = 8.0
        assert torch.equal(weights, expected)


class TestEntropies:
    def test_an_undecided_bit(self):
        assert sample_entropy(torch.zeros(1, 3, 2, 2)).item() == pytest.approx(math.log(2))

    def test_one_bit_by_hand(self):
        p = 1 / (1 + math.exp(-4 * 0.25))
        expected = -p * math.log(p) - (1 - p) * math.log(1 - p)
        for entropy in (sample_entropy, bit_entropy, codebook_entropy):
            assert entropy(as_latents([0.25])).item() == pytest.approx(expected)

    def test_only_the_joint_entropy_sees_bits_that_are_copies(self):
        copies = as_latents([CERTAIN, CERTAIN], [-CERTAIN, -CERTAIN])
        free = as_latents(*[[a, b] for a in (CERTAIN, -CERTAIN) for b in (CERTAIN, -CERTAIN)])
        for latents in (copies, free):
            assert bit_entropy(latents).item() == pytest.approx(math.log(2))
        assert codebook_entropy(copies).item() == pytest.approx(math.log(2) / 2)
        assert codebook_entropy(free).item() == pytest.approx(math.log(4) / 2)

    @given(st.lists(st.integers(0, 7), min_size=1, max_size=12))
    def test_decided_latents_give_the_entropy_of_the_codes(self, codes):
        bits = [[CERTAIN if code >> bit & 1 else -CERTAIN for bit in (2, 1, 0)] for code in codes]
        shares = [codes.count(code) / len(codes) for code in set(codes)]
        expected = -sum(share * math.log(share) for share in shares) / 3
        assert codebook_entropy(as_latents(*bits)).item() == pytest.approx(expected, abs=1e-6)

    @given(st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=1, max_size=8))
    def test_conditioning_never_adds_entropy(self, vectors):
        latents = as_latents(*[list(vector) for vector in vectors])
        slack = 1e-9
        assert sample_entropy(latents) <= codebook_entropy(latents) + slack
        assert codebook_entropy(latents) <= bit_entropy(latents) + slack

    @pytest.mark.parametrize("entropy", [sample_entropy, bit_entropy, codebook_entropy])
    def test_a_weight_counts_like_so_many_patches(self, entropy):
        vectors = [[0.3, -0.2], [-0.5, 0.1]]
        weighted = entropy(as_latents(*vectors), torch.tensor([[[3.0, 1.0]]]).double())
        repeated = entropy(as_latents(vectors[0], vectors[0], vectors[0], vectors[1]))
        assert weighted.item() == pytest.approx(repeated.item())

    @pytest.mark.parametrize("joint", [False, True])
    def test_loss_is_the_difference(self, joint):
        latents, weights = torch.randn(2, 3, 2, 2), torch.rand(2, 2, 2)
        varied = codebook_entropy if joint else bit_entropy
        expected = sample_entropy(latents, weights) - varied(latents, weights)
        assert torch.equal(entropy_loss(latents, weights, joint=joint), expected)

    @pytest.mark.parametrize("joint", [False, True])
    def test_extreme_latents_have_a_finite_gradient(self, joint):
        latents = torch.tensor([[[[200.0]], [[-200.0]]]], requires_grad=True)
        entropy_loss(latents, joint=joint).backward()
        assert latents.grad.isfinite().all()

    @pytest.mark.parametrize("joint", [False, True])
    def test_gradient(self, joint):
        latents = torch.randn(1, 2, 2, 2, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda z: entropy_loss(z, joint=joint), latents)


def test_commitment_by_hand():
    latents = torch.tensor([1.0, 0.5, -3.0, 0.0]).reshape(1, 4, 1, 1).requires_grad_()
    loss = commitment_loss(latents)
    assert loss.item() == pytest.approx((0 + 0.25 + 4 + 1) / 4)
    loss.backward()
    assert latents.grad.flatten().tolist() == pytest.approx([0, -0.25, -1, 0.5])
