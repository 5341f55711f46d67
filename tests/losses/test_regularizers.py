import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from showo_turbo.losses import image_regularizer, masked_kl, text_regularizer

ALL = torch.ones(1, 1, dtype=torch.bool)


def random_case(seed, classes=9, kept=4):
    generator = torch.Generator().manual_seed(seed)
    student = torch.randn(2, 5, classes, generator=generator, dtype=torch.float64) * 2
    teacher = torch.randn(2, 5, classes, generator=generator, dtype=torch.float64) * 3
    mask = torch.rand(2, 5, generator=generator) < 0.6
    mask[0, 0] = True
    top = teacher.log_softmax(-1).topk(kept, dim=-1)
    return student, teacher, mask, top.indices, top.values


def test_hand_computed_top_two_of_four_codes():
    # Recorded: codes 2 and 0 with 0.6 and 0.2, renormalized to 0.75 and 0.25. Student: uniform
    # over all four codes, so 0.25 each: what it gives to unrecorded codes is paid for.
    value = image_regularizer(
        torch.zeros(1, 1, 4),
        ALL,
        torch.tensor([[[0.6, 0.2]]]).log(),
        torch.tensor([[[2, 0]]], dtype=torch.int16),
    )
    expected = 0.75 * math.log(0.75 / 0.25) + 0.25 * math.log(0.25 / 0.25)
    assert value.mean.item() == pytest.approx(expected, rel=1e-6)


@given(st.integers(0, 2**31))
def test_agrees_with_a_loop(seed):
    student, _, mask, ids, log_probs = random_case(seed)
    means = []
    for row in range(len(mask)):
        terms = []
        for position in mask[row].nonzero()[:, 0].tolist():
            q = log_probs[row, position].exp()
            q = q / q.sum()
            p = student[row, position].softmax(-1)[ids[row, position]]
            terms.append(
                sum(a * math.log(a / b) for a, b in zip(q.tolist(), p.tolist(), strict=True))
            )
        if terms:
            means.append(sum(terms) / len(terms))
    value = image_regularizer(student, mask, log_probs, ids)
    assert value.mean.item() == pytest.approx(sum(means) / len(means), rel=1e-9)


@given(st.integers(0, 2**31))
def test_all_codes_recorded_is_the_dense_divergence(seed):
    student, teacher, mask, ids, log_probs = random_case(seed, kept=9)
    dense = masked_kl(teacher, student, mask).mean
    torch.testing.assert_close(image_regularizer(student, mask, log_probs, ids).mean, dense)
    torch.testing.assert_close(image_regularizer(student, mask, teacher).mean, dense)


@given(st.integers(0, 2**31))
def test_order_of_recorded_codes_does_not_matter(seed):
    student, _, mask, ids, log_probs = random_case(seed)
    torch.testing.assert_close(
        image_regularizer(student, mask, log_probs, ids).mean,
        image_regularizer(student, mask, log_probs.flip(-1), ids.flip(-1)).mean,
    )


def test_least_where_the_student_is_the_renormalized_record():
    student = torch.full((1, 1, 5), -60.0, dtype=torch.float64)
    ids, q = torch.tensor([[[3, 1]]]), torch.tensor([[[0.5, 0.3]]], dtype=torch.float64)
    student[0, 0, ids[0, 0]] = q[0, 0].log()
    assert image_regularizer(student, ALL, q.log(), ids).mean.item() == pytest.approx(0, abs=1e-12)


def test_gradient_by_finite_differences_and_none_into_the_record():
    student, _, mask, ids, log_probs = random_case(1)
    student.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda logits: image_regularizer(logits, mask, log_probs, ids).mean, student
    )
    log_probs.requires_grad_()
    image_regularizer(student, mask, log_probs, ids).mean.backward()
    assert log_probs.grad is None


def test_recorded_half_precision_is_computed_in_single():
    student, _, mask, ids, log_probs = random_case(2)
    value = image_regularizer(student.bfloat16(), mask, log_probs.half(), ids.short())
    assert value.mean.dtype == torch.float32
    exact = image_regularizer(student, mask, log_probs, ids).mean
    assert value.mean.item() == pytest.approx(exact.item(), rel=0.03)


def test_nothing_masked_gives_zero_with_a_gradient():
    student = torch.randn(1, 2, 4, requires_grad=True)
    nothing = torch.zeros(1, 2, dtype=torch.bool)
    value = image_regularizer(
        student, nothing, torch.zeros(1, 2, 1), torch.zeros(1, 2, 1, dtype=torch.long)
    )
    value.mean.backward()
    assert value.mean.item() == 0.0
    assert torch.equal(student.grad, torch.zeros_like(student))


@pytest.mark.parametrize(
    ("log_probs", "ids"),
    [
        (torch.zeros(1, 2, 3), torch.zeros(1, 2, 4, dtype=torch.long)),
        (torch.zeros(1, 2, 3), None),
        (torch.zeros(1, 3, 3), torch.zeros(1, 3, 3, dtype=torch.long)),
    ],
)
def test_records_of_another_shape_are_refused(log_probs, ids):
    with pytest.raises(ValueError, match="recorded log-probabilities have shape"):
        image_regularizer(torch.zeros(1, 2, 4), torch.ones(1, 2, dtype=torch.bool), log_probs, ids)


def test_text_regularizer_is_the_cross_entropy_of_the_answer_alone():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 6)
    fixed_point = torch.tensor([[1, 2, 3, 4], [5, 0, 0, 0]])
    valid = torch.tensor([[True, True, True, True], [True, True, False, False]])
    expected = torch.stack(
        [
            functional.cross_entropy(logits[0], fixed_point[0]),
            functional.cross_entropy(logits[1, :2], fixed_point[1, :2]),
        ]
    )
    value = text_regularizer(logits, fixed_point, valid)
    torch.testing.assert_close(value.per_sample, expected)
    torch.testing.assert_close(value.mean, expected.mean())
    assert value.counted.tolist() == [4, 2]
