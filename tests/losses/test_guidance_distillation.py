from types import SimpleNamespace

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.losses import GuidanceDistillation, guidance_distillation_loss

STUDENT = torch.tensor(
    [
        [[0.5, 0.5], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]],
        [[0.5, 0.5], [0.5, 0.5], [0.25, 0.75], [0.9, 0.1]],
    ]
).log()
GUIDED = torch.tensor(
    [
        [[0.25, 0.75], [0.2, 0.8], [0.3, 0.7], [0.5, 0.5]],
        [[0.25, 0.75], [0.5, 0.5], [0.5, 0.5], [0.1, 0.9]],
    ]
).log()
MASKED = torch.tensor([[True, True, False, False], [True, True, True, False]])


@pytest.mark.parametrize(
    ("visible", "expected", "counted"),
    [
        (0.0, (0.130812 / 2 + (0.130812 + 0.143841) / 3) / 2, [2, 3]),
        (0.25, (0.130812 / 2 + (0.130812 + 0.143841) / 3) / 2, [2, 3]),
        (0.5, 0.130812 / 2, [2, 0]),
        (0.75, 0.0, [0, 0]),
    ],
)
def test_by_hand(visible, expected, counted):
    """KL((1/4, 3/4) || (1/2, 1/2)) = 0.130812, KL((1/2, 1/2) || (1/4, 3/4)) = 0.143841."""
    value = guidance_distillation_loss(STUDENT, GUIDED, MASKED, visible)
    assert value.counted.tolist() == counted
    assert float(value.mean) == pytest.approx(expected, abs=1e-5)


def test_the_gradient_is_the_difference_of_the_distributions():
    student = STUDENT.clone().requires_grad_()
    guidance_distillation_loss(student, GUIDED, MASKED, 0.5).mean.backward()
    expected = torch.zeros_like(STUDENT)
    expected[0, 0] = torch.tensor([0.25, -0.25]) / 2
    torch.testing.assert_close(student.grad, expected, rtol=0, atol=1e-6)


def test_the_term_compares_the_same_state():
    state, asked = torch.tensor([[9, 9, 1, 0], [9, 9, 9, 0]]), []

    def base_logits(codes, scale):
        asked.append((codes, scale))
        return GUIDED

    batch = SimpleNamespace(state_k=state, masked_k=MASKED)
    inputs = SimpleNamespace(logits=STUDENT, batch=batch, base_logits=base_logits)
    value = GuidanceDistillation(guidance_scale=2.0, visible=0.5).compute(inputs)
    assert asked == [(state, 2.0)]
    expected = guidance_distillation_loss(STUDENT, GUIDED, MASKED, 0.5)
    assert all(torch.equal(*pair) for pair in zip(value, expected, strict=True))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"guidance_scale": -1.0}, "guidance_scale is -1.0"),
        ({"visible": 1.0}, "visible is 1.0; expected a share"),
        ({"visible": float("nan")}, "visible is nan"),
    ],
)
def test_options_out_of_range(given, message):
    with pytest.raises(UserError, match=message):
        GuidanceDistillation(**given)
