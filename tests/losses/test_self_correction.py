from types import SimpleNamespace

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.losses import SelfCorrection, self_correction_loss

LOGITS = torch.tensor([[[0.5, 0.5], [0.25, 0.75]], [[0.9, 0.1], [0.2, 0.8]]]).log()
CODES = torch.tensor([[0, 0], [1, 1]])
MASKED = torch.tensor([[True, False], [False, False]])
LOSSES = ((0.693147, 1.386294), (2.302585, 0.223144))
"""-log of 0.5, 0.25, 0.1 and 0.8."""


def test_by_hand():
    value = self_correction_loss(LOGITS, CODES, MASKED, visible_weight=0.5)
    first = (LOSSES[0][0] + 0.5 * LOSSES[0][1]) / 1.5
    second = sum(LOSSES[1]) / 2
    torch.testing.assert_close(value.per_sample, torch.tensor([first, second]), rtol=0, atol=1e-5)
    assert float(value.mean) == pytest.approx((first + second) / 2, abs=1e-5)
    assert value.counted.tolist() == [2, 2]


def test_the_term_is_computed_from_a_state_with_mistakes():
    state, asked = torch.tensor([[2, 1], [0, 0]]), []

    def corrupted(most):
        asked.append(most)
        return state

    def student_logits(codes):
        asked.append(codes)
        return LOGITS

    batch = SimpleNamespace(codes=CODES, masked_k=MASKED)
    inputs = SimpleNamespace(batch=batch, corrupted=corrupted, student_logits=student_logits)
    value = SelfCorrection(visible_weight=1.0, corrupted=0.2).compute(inputs)
    assert asked == [0.2, state]
    expected = [sum(LOSSES[0]) / 2, sum(LOSSES[1]) / 2]
    torch.testing.assert_close(value.per_sample, torch.tensor(expected), rtol=0, atol=1e-5)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"visible_weight": 0.0}, "visible_weight is 0.0; expected above 0 and at most 1"),
        ({"corrupted": 1.1}, "corrupted is 1.1; expected a share from 0 to 1"),
    ],
)
def test_options(options, message):
    with pytest.raises(UserError, match=message):
        SelfCorrection(**options)
