from types import SimpleNamespace

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.losses import DraftAndCorrect, draft_and_correct_loss
from showo_turbo.losses.term import Draft

STUDENT = torch.tensor([[[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.2, 0.6]]]).log()
TEACHER = torch.tensor([[[0.0, 1.0, 0.5], [2.0, 1.0, 3.0], [9.0, 0.0, 0.0]]])
MASK = torch.tensor([[True, True, False]])


def test_by_hand():
    """The teacher's choices are 1 and 2, to which the student gives 0.2 and 0.3."""
    student = STUDENT.clone().requires_grad_()
    value = draft_and_correct_loss(student, TEACHER, MASK)
    assert value.counted.tolist() == [2]
    assert float(value.mean) == pytest.approx((1.609438 + 1.203973) / 2, abs=1e-5)
    value.mean.backward()
    expected = torch.tensor([[0.35, -0.4, 0.05], [0.05, 0.3, -0.35], [0, 0, 0]])
    torch.testing.assert_close(student.grad[0], expected, rtol=0, atol=1e-6)


def test_the_term_asks_for_what_is_corrected_in_the_draft():
    state, asked = torch.tensor([[3, 3, 0]]), []

    def base_logits(codes, scale):
        asked.append((codes, scale))
        return TEACHER

    draft = Draft(torch.tensor([[0, 1, 0]]), state, MASK)
    inputs = SimpleNamespace(logits=STUDENT, draft=draft, base_logits=base_logits)
    value = DraftAndCorrect(guidance_scale=2.0).compute(inputs)
    assert asked == [(state, 2.0)]
    for found, expected in zip(value, draft_and_correct_loss(STUDENT, TEACHER, MASK), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.bad_input
def test_guidance_is_a_scale():
    with pytest.raises(UserError, match="guidance_scale is inf"):
        DraftAndCorrect(guidance_scale=float("inf"))
