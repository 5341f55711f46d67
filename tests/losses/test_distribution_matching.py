from types import SimpleNamespace

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.losses import (
    DistributionMatching,
    distribution_matching_loss,
    matching_gradient,
)
from showo_turbo.losses.term import Draft

OURS, THEIRS = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.8, 0.2]).log()
REVERSE, FORWARD = 0.346574, 0.3
"""By hand: with log ratios -0.470004 and 0.916291 KL is 0.223144, so that the reverse part is
0.5 (0.916291 - 0.223144); the forward part is 0.5 - 0.2."""


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, REVERSE), (1.0, FORWARD), (0.2, 0.8 * REVERSE + 0.2 * FORWARD)]
)
def test_the_gradient_by_hand(share, expected):
    found = matching_gradient(OURS, THEIRS, share)
    torch.testing.assert_close(found, torch.tensor([-expected, expected]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_gradient_is_that_of_the_divergences(share):
    """Where the student is what the auxiliary network says it is, autograd gives the same."""
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(5, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(5, 7, generator=generator, dtype=torch.float64).log_softmax(-1)
    ours = student.log_softmax(-1)
    reverse = (ours.exp() * (ours - teacher)).sum()
    forward = (teacher.exp() * (teacher - ours)).sum()
    ((1 - share) * reverse + share * forward).backward()
    found = matching_gradient(ours.detach(), teacher, share)
    torch.testing.assert_close(found, student.grad, rtol=1e-9, atol=1e-9)


def test_the_loss_passes_the_gradient_on():
    student = torch.zeros(2, 2, 2, requires_grad=True)
    ours, theirs = (row.expand(2, 2, 2) for row in (OURS, THEIRS))
    mask = torch.tensor([[True, True], [False, True]])
    value = distribution_matching_loss(student, ours, theirs, mask, forward_share=0.0)
    assert value.counted.tolist() == [2, 1]
    torch.testing.assert_close(value.per_sample, torch.full((2,), REVERSE**2), rtol=0, atol=1e-5)
    value.mean.backward()
    unit = torch.tensor([-REVERSE, REVERSE])
    expected = torch.stack([torch.stack([unit / 4, unit / 4]), torch.stack([0 * unit, unit / 2])])
    torch.testing.assert_close(student.grad, expected, rtol=0, atol=1e-5)


def test_nothing_is_learned_where_both_agree():
    student = torch.randn(1, 3, 4, requires_grad=True)
    other = torch.randn(1, 3, 4)
    mask = torch.ones(1, 3, dtype=torch.bool)
    value = distribution_matching_loss(student, other, other + 2.0, mask)
    value.mean.backward()
    assert float(value.mean) == pytest.approx(0, abs=1e-9)
    assert student.grad.abs().max() < 1e-6


def test_the_term_judges_the_student_s_own_tokens():
    mask = torch.tensor([[True, False]])
    state = torch.tensor([[2, 1]])
    asked = []

    def base_logits(codes, scale):
        asked.append((codes, scale))
        return THEIRS.expand(1, 2, 2)

    def auxiliary_logits(rank, rate):
        asked.append((rank, rate))
        return OURS.expand(1, 2, 2)

    inputs = SimpleNamespace(
        logits=torch.zeros(1, 2, 2),
        draft=Draft(torch.tensor([[0, 1]]), state, mask),
        base_logits=base_logits,
        auxiliary_logits=auxiliary_logits,
    )
    term = DistributionMatching(0.5, 3.0, 0.0, auxiliary_rank=4, auxiliary_learning_rate=0.1)
    value = term.compute(inputs)
    assert asked == [(state, 3.0), (4, 0.1)]
    assert float(value.mean) == pytest.approx(REVERSE**2, abs=1e-5)
    assert (term.stream, term.weight, term.needs_base) == ("image", 0.5, True)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forward_share": 1.5}, "forward_share is 1.5; expected 0 to 1"),
        ({"guidance_scale": -1.0}, r"guidance_scale is -1.0; expected 0 or more"),
        (
            {"auxiliary_learning_rate": 0.0},
            "auxiliary_learning_rate is 0.0; expected a value above",
        ),
    ],
)
def test_options(options, message):
    with pytest.raises(UserError, match=message):
        DistributionMatching(**options)


@pytest.mark.bad_input
def test_shapes():
    mask = torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="expected one shape"):
        distribution_matching_loss(*(torch.zeros(1, 2, n) for n in (3, 3, 4)), mask)
