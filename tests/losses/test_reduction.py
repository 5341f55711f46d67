import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from showo_turbo.losses.reduction import at_least_float32, check_mask, mean_over_samples


def test_each_sample_weighs_the_same_however_many_positions_it_has():
    mask = torch.tensor([[True, True, True], [False, True, False], [False, False, False]])
    value = mean_over_samples(torch.tensor([1.0, 2.0, 3.0, 10.0]), mask)
    assert value.per_sample.tolist() == [2.0, 10.0, 0.0]
    assert value.counted.tolist() == [3, 1, 0]
    assert value.mean.item() == 6.0  # of two samples, not of three, nor of four positions


def test_nothing_counted_gives_zero_with_a_gradient_of_zeros():
    logits = torch.randn(2, 3, requires_grad=True)
    mask = torch.zeros(2, 3, dtype=torch.bool)
    value = mean_over_samples(logits[mask], mask)
    value.mean.backward()
    assert value.mean.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros(2, 3))


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**31))
def test_agrees_with_loops(batch, tokens, seed):
    generator = torch.Generator().manual_seed(seed)
    dense = torch.randn(batch, tokens, generator=generator, dtype=torch.float64)
    mask = torch.rand(batch, tokens, generator=generator) < 0.5
    means = []
    for row in range(batch):
        counted = [dense[row, i].item() for i in range(tokens) if mask[row, i]]
        if counted:
            means.append(sum(counted) / len(counted))
    expected = sum(means) / len(means) if means else 0.0
    assert mean_over_samples(dense[mask], mask).mean.item() == pytest.approx(expected)


def test_half_precision_is_widened_and_double_is_kept():
    assert at_least_float32(torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.float32
    assert at_least_float32(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize(
    "mask", [torch.ones(2, 3), torch.ones(2, 4, dtype=torch.bool), torch.ones(6, dtype=torch.bool)]
)
def test_masks_of_another_type_or_shape_are_refused(mask):
    with pytest.raises(ValueError, match=r"expected torch.bool of shape \(2, 3\)"):
        check_mask(mask, torch.zeros(2, 3, 7))
