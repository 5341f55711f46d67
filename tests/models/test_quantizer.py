import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from showo_turbo.errors import UserError
from showo_turbo.models.magvitv2.quantizer import LookupFreeQuantizer


def as_latents(*vectors):
    """One image, one row: a latent vector a column."""
    return torch.tensor(vectors).T[None, :, None, :]


class TestCodes:
    def test_the_first_channel_is_the_most_significant_bit(self):
        latents = as_latents([0.1, -0.1, -5.0], [-1.0, -1.0, 0.2], [3.0, 3.0, 3.0])
        codes = LookupFreeQuantizer(3).latents_to_codes(latents)
        assert codes.tolist() == [[0b100, 0b001, 0b111]]

    def test_zero_is_not_set(self):
        quantizer = LookupFreeQuantizer(2)
        latents = torch.zeros(1, 2, 1, 1)
        assert quantizer.latents_to_codes(latents).tolist() == [[0]]
        assert quantizer(latents).flatten().tolist() == [-1, -1]

    def test_raster_order(self):
        codes = torch.arange(6)[None]
        signs = LookupFreeQuantizer(3).codes_to_signs(codes, (2, 3))
        assert signs.shape == (1, 3, 2, 3)
        assert signs[0, :, 1, 0].tolist() == [-1, 1, 1]  # code 3 begins the second row

    @given(st.integers(1, 10), st.data())
    def test_round_trip(self, bits, data):
        quantizer = LookupFreeQuantizer(bits)
        drawn = data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=6, max_size=6))
        codes = torch.tensor([drawn])
        signs = quantizer.codes_to_signs(codes, (2, 3))
        assert torch.equal(signs.abs(), torch.ones(1, bits, 2, 3))
        assert torch.equal(quantizer.latents_to_codes(signs), codes)
        assert torch.equal(quantizer(signs), signs)

    @pytest.mark.bad_input
    @pytest.mark.parametrize("code", [-1, 8])
    def test_codes_outside_of_the_codebook(self, code):
        with pytest.raises(UserError, match=rf"image code {code} .* 0\.\.7"):
            LookupFreeQuantizer(3).codes_to_signs(torch.tensor([[0, code]]), (1, 2))


def test_the_gradient_passes_straight_through():
    latents = torch.tensor([[0.3, -2.0]])[..., None, None].requires_grad_()
    signs = LookupFreeQuantizer(2)(latents)
    assert signs.flatten().tolist() == pytest.approx([1, -1])
    (signs * torch.tensor([5.0, 7.0])[None, :, None, None]).sum().backward()
    assert latents.grad.flatten().tolist() == [5, 7]


def test_buffers_of_the_released_checkpoint():
    quantizer = LookupFreeQuantizer(13)
    assert quantizer.bits == 13
    assert quantizer.embedding.shape == (8192, 13)
    assert quantizer.embedding[5].tolist() == [-1.0] * 10 + [1, -1, 1]
    assert quantizer.power_vals.dtype == torch.int64
    assert quantizer.power_vals[:2].tolist() == [4096, 2048]
