from types import SimpleNamespace

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.losses import Certainty, certainty_loss

LOGITS = torch.tensor([[[2.0, 0.0], [0.0, 1.0], [0.0, 3.0], [1.0, 0.0]]])
LABELS = torch.tensor([[0, 1, 0, 0]])
MASK = torch.tensor([[True, True, True, False]])
OF_FOUR, OF_TWO = 0.090095, 0.365335
"""Entropies of (0.982014, 0.017986) and of (0.880797, 0.119203): softmax of (4, 0) and (2, 0)."""


def test_only_what_is_right_counts():
    """At temperature 0.5: of the first two, since the third is wrong and the last not asked for."""
    logits = LOGITS.clone().requires_grad_()
    value = certainty_loss(logits, LABELS, MASK)
    assert value.counted.tolist() == [2]
    assert float(value.mean) == pytest.approx((OF_FOUR + OF_TWO) / 2, abs=1e-5)
    value.mean.backward()
    assert torch.equal(logits.grad[0, 2:], torch.zeros(2, 2))
    assert logits.grad[0, 0, 0] < 0 < logits.grad[0, 0, 1], "descending makes it surer"


def test_classes_that_cannot_be_do_not_count():
    """As the mask among the tokens of a text that is denoised."""
    logits = torch.cat([LOGITS, torch.full_like(LOGITS[..., :1], -torch.inf)], dim=-1)
    logits.requires_grad_()
    value = certainty_loss(logits, LABELS, MASK)
    assert float(value.mean) == pytest.approx((OF_FOUR + OF_TWO) / 2, abs=1e-5)
    value.mean.backward()
    assert logits.grad.isfinite().all() and (logits.grad[..., 2] == 0).all()


def test_nothing_right_is_no_loss():
    value = certainty_loss(LOGITS, 1 - LABELS, torch.tensor([[True, True, False, False]]))
    assert (float(value.mean), value.counted.tolist()) == (0.0, [0])


def test_the_term_looks_at_what_is_not_settled():
    texts = SimpleNamespace(fixed_point=LABELS, differs=MASK)
    images = SimpleNamespace(codes=LABELS, masked_k=MASK)
    for stream, batch in (("text", texts), ("image", images)):
        term = Certainty(stream=stream, temperature=1.0)
        value = term.compute(SimpleNamespace(logits=LOGITS / 0.5, batch=batch))
        assert term.stream == stream
        assert float(value.mean) == pytest.approx((OF_FOUR + OF_TWO) / 2, abs=1e-5)


@pytest.mark.bad_input
def test_temperature_is_above_0():
    with pytest.raises(UserError, match=r"temperature is 0\.0"):
        Certainty(temperature=0.0)
