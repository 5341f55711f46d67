import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from showo_turbo.losses import IGNORED, language_model_loss, token_cross_entropy


def test_hand_computed_shift():
    # Row 0 predicts token 1 (class 2, probability 0.5), row 1 token 2 (ignored); row 2 predicts
    # what would follow. The first label is never predicted.
    logits = torch.tensor([[[0.25, 0.25, 0.5], [0.9, 0.05, 0.05], [0.1, 0.1, 0.8]]]).log()
    labels = torch.tensor([[1, 2, IGNORED]])
    value = language_model_loss(logits, labels)
    assert value.mean.item() == pytest.approx(math.log(2))
    assert value.counted.tolist() == [1]


@given(st.integers(0, 2**31))
def test_aligned_loss_agrees_with_cross_entropy_by_sample(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 6, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 5, (3, 6), generator=generator)
    labels[torch.rand(3, 6, generator=generator) < 0.4] = IGNORED
    labels[0, 0] = 1
    means = [
        functional.cross_entropy(row, label, ignore_index=IGNORED)
        for row, label in zip(logits, labels, strict=True)
        if (label != IGNORED).any()
    ]
    torch.testing.assert_close(token_cross_entropy(logits, labels).mean, torch.stack(means).mean())


def test_gradient_by_finite_differences():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[0, 1, IGNORED, 3], [IGNORED, 4, 2, IGNORED]])
    assert torch.autograd.gradcheck(lambda x: language_model_loss(x, labels).mean, logits)


def test_no_labels_give_zero_with_a_gradient():
    logits = torch.randn(1, 3, 4, requires_grad=True)
    value = language_model_loss(logits, torch.full((1, 3), IGNORED))
    value.mean.backward()
    assert value.mean.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_labels_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"expected torch\.bool of shape"):
        token_cross_entropy(torch.zeros(1, 3, 4), torch.zeros(1, 2, dtype=torch.long))
