"""The five terms are their functions, and say beforehand what they ask for."""

from types import SimpleNamespace

import pytest
import torch

from showo_turbo.errors import UserError
from showo_turbo.losses import (
    image_consistency,
    image_regularizer,
    language_model_loss,
    published_losses,
    text_consistency,
    text_regularizer,
)

GENERATOR = torch.Generator().manual_seed(0)
SHAPE = (2, 4, 8)
MASK = torch.tensor([[True, True, False, True], [False, True, True, False]])
TOKENS = torch.randint(0, 8, SHAPE[:2], generator=GENERATOR)


class Inputs:
    """Everything that can be asked for; notes the logits that are."""

    def __init__(self):
        self.asked = set()
        self.labels = TOKENS
        self.batch = SimpleNamespace(
            masked_k=MASK,
            masked_t=~MASK,
            q_log_probs=LOGITS["q"].log_softmax(-1),
            q_ids=None,
            differs=MASK,
            valid=~MASK,
            fixed_point=TOKENS,
        )

    def __getattr__(self, name):
        self.asked.add(name)
        return LOGITS[name]


LOGITS = {
    name: torch.randn(SHAPE, generator=GENERATOR)
    for name in ("logits", "target_logits", "fixed_point_logits", "q")
}
EXPECTED = {
    "image_consistency": image_consistency(LOGITS["target_logits"], LOGITS["logits"], ~MASK),
    "image_regularizer": image_regularizer(LOGITS["logits"], MASK, LOGITS["q"].log_softmax(-1)),
    "text_consistency": text_consistency(LOGITS["target_logits"], LOGITS["logits"], MASK),
    "text_regularizer": text_regularizer(LOGITS["fixed_point_logits"], TOKENS, ~MASK),
    "language": language_model_loss(LOGITS["logits"], TOKENS),
}
PUBLISHED = {
    "image_consistency": ("image", 0.05),
    "image_regularizer": ("image", 1.0),
    "text_consistency": ("text", 0.5),
    "text_regularizer": ("text", 5.0),
    "language": ("language", 0.1),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_term_is_its_function(name):
    inputs = Inputs()
    term = published_losses()[name]
    found = term.compute(inputs)
    for value, expected in zip(found, EXPECTED[name], strict=True):
        torch.testing.assert_close(value, expected, rtol=0, atol=0)
    assert inputs.asked == set(term.asks_for)


def test_streams_and_weights_are_those_that_were_published():
    assert {n: (t.stream, t.weight) for n, t in published_losses().items()} == PUBLISHED


@pytest.mark.bad_input
@pytest.mark.parametrize("weight", [-0.5, float("nan"), float("inf")])
@pytest.mark.parametrize("name", EXPECTED)
def test_a_weight_that_is_no_factor(name, weight):
    kind = type(published_losses()[name])
    with pytest.raises(UserError, match=rf"weight of {kind.__name__} is"):
        kind(weight=weight)
