import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from showo_turbo.losses import image_consistency, masked_kl, text_consistency

ALL = torch.ones(1, 1, dtype=torch.bool)


def logits_of(*probabilities):
    return torch.tensor([[list(probabilities)]]).log()


def random_case(seed, dtype=torch.float64, batch=3, tokens=5, classes=7):
    generator = torch.Generator().manual_seed(seed)
    target = torch.randn(batch, tokens, classes, generator=generator, dtype=dtype) * 2
    student = torch.randn(batch, tokens, classes, generator=generator, dtype=dtype) * 2
    mask = torch.rand(batch, tokens, generator=generator) < 0.6
    mask[0, 0] = True
    return target, student, mask


def test_hand_computed_divergence():
    value = masked_kl(logits_of(0.5, 0.25, 0.25), logits_of(0.25, 0.5, 0.25), ALL)
    # 0.5 ln(0.5 / 0.25) + 0.25 ln(0.25 / 0.5) + 0 = 0.25 ln 2
    assert value.mean.item() == pytest.approx(0.25 * math.log(2), rel=1e-6)


def test_direction_is_target_to_student():
    target, student = logits_of(0.9, 0.1), logits_of(0.5, 0.5)
    forward = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    assert masked_kl(target, student, ALL).mean.item() == pytest.approx(forward, rel=1e-5)


@given(st.integers(0, 2**31))
def test_agrees_with_a_loop_over_kl_div(seed):
    target, student, mask = random_case(seed)
    per_sample = []
    for row in range(len(mask)):
        terms = [
            functional.kl_div(
                student[row, i].log_softmax(-1), target[row, i].softmax(-1), reduction="sum"
            )
            for i in range(mask.shape[1])
            if mask[row, i]
        ]
        if terms:
            per_sample.append(torch.stack(terms).mean())
    expected = torch.stack(per_sample).mean()
    torch.testing.assert_close(masked_kl(target, student, mask).mean, expected)


@given(st.integers(0, 2**31), st.floats(-50, 50), st.floats(-50, 50))
def test_never_negative_and_indifferent_to_constants_added_to_logits(seed, a, b):
    target, student, mask = random_case(seed)
    value = masked_kl(target, student, mask)
    shifted = masked_kl(target + a, student + b, mask)
    assert value.per_sample.min() >= -1e-12
    torch.testing.assert_close(value.mean, shifted.mean)


@given(st.integers(0, 2**31))
def test_log_probabilities_do_as_well_as_logits(seed):
    target, student, mask = random_case(seed)
    torch.testing.assert_close(
        masked_kl(target, student, mask).mean,
        masked_kl(target.log_softmax(-1), student.log_softmax(-1), mask).mean,
    )


@given(st.integers(0, 2**31))
def test_positions_that_do_not_count_change_nothing(seed):
    target, student, mask = random_case(seed)
    noise = torch.randn(target.shape, dtype=target.dtype) * ~mask[..., None] * 100
    assert torch.equal(
        masked_kl(target, student, mask).mean, masked_kl(target + noise, student - noise, mask).mean
    )


@given(st.integers(0, 2**31))
def test_a_student_that_agrees_has_no_loss_and_no_gradient(seed):
    target, _, mask = random_case(seed)
    student = target.clone().requires_grad_()
    value = masked_kl(target, student, mask)
    value.mean.backward()
    assert value.mean.item() == pytest.approx(0, abs=1e-12)
    assert student.grad.abs().max() < 1e-12


def test_no_gradient_flows_into_the_target():
    target, student, mask = random_case(0)
    target.requires_grad_()
    student.requires_grad_()
    for loss in (masked_kl, image_consistency, text_consistency):
        loss(target, student, mask).mean.backward()
    assert target.grad is None
    assert student.grad.abs().sum() > 0


def test_the_student_s_own_target_is_held_fixed():
    # With target and student from the same weights the gradient must be the student side's only:
    # softmax(student) - softmax(target), divided by the positions.
    weight = torch.randn(1, 1, 4, dtype=torch.float64, requires_grad=True)
    target, student = weight * 2, weight
    image_consistency(target, student, ALL).mean.backward()
    expected = weight.detach().softmax(-1) - (weight.detach() * 2).softmax(-1)
    torch.testing.assert_close(weight.grad, expected)


def test_gradient_by_finite_differences():
    target, student, mask = random_case(1)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda logits: masked_kl(target, logits, mask).mean, student)


def test_infinities_at_positions_that_do_not_count_leave_the_gradient_finite():
    target, student, mask = random_case(2)
    student[~mask] = torch.inf
    student.requires_grad_()
    masked_kl(target, student, mask).mean.backward()
    assert student.grad.isfinite().all()
    assert (student.grad[~mask] == 0).all()


def test_classes_impossible_for_the_target_contribute_nothing():
    target = torch.tensor([[[0.0, 0.0, -torch.inf]]])
    student = torch.tensor([[[0.0, 1.0, 5.0]]], requires_grad=True)
    value = masked_kl(target, student, ALL)
    value.mean.backward()
    student_log_probs = student.detach().log_softmax(-1)[0, 0]
    expected = math.log(0.5) - student_log_probs[:2].mean().item()
    assert value.mean.item() == pytest.approx(expected, rel=1e-6)
    assert student.grad.isfinite().all()


def test_half_precision_is_computed_in_single():
    target, student, mask = random_case(3, torch.float32)
    target, student = target.bfloat16(), student.bfloat16()
    value = masked_kl(target, student, mask)
    assert value.mean.dtype == torch.float32
    assert torch.equal(value.mean, masked_kl(target.float(), student.float(), mask).mean)


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="target logits have shape"):
        masked_kl(torch.zeros(1, 2, 3), torch.zeros(1, 2, 4), torch.ones(1, 2, dtype=torch.bool))
