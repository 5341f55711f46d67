"""Live bytes, against sums by hand."""

from contextlib import nullcontext

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from showo_turbo.planning.live_bytes import LiveBytes

ROWS, WIDTH, CLASSES = 32, 48, 80


def test_a_tensor_counts_while_it_lives():
    with LiveBytes() as meter:
        first = torch.zeros(10)
        second = first.reshape(2, 5)  # a view has no bytes of its own
        assert sum(meter.live.values()) == 40
        third = first + 1
        assert sum(meter.live.values()) == 80
        del first, third
        assert sum(meter.live.values()) == 40
        del second
    assert sum(meter.live.values()) == 0
    assert sum(meter.peak.values()) == 80


def test_logits_are_told_by_their_last_dimension():
    layer, given = nn.Linear(WIDTH, CLASSES, bias=False), torch.ones(ROWS, WIDTH)
    with torch.no_grad(), LiveBytes([layer.weight, given], [CLASSES]) as meter:
        kept = layer(given), given * 2, layer.weight[:3]
    assert len(kept) == 3
    assert meter.live == {
        "logits": ROWS * CLASSES * 4,
        "activations": ROWS * WIDTH * 4,
        "gradients": 0,
    }


def step(mode, shards=1):
    """One linear layer, and its backward pass, on tensors with or without contents."""
    with mode:
        layer, given = nn.Linear(WIDTH, CLASSES, bias=False), torch.ones(ROWS, WIDTH)
        with LiveBytes([layer.weight, given], [CLASSES], shards) as meter:
            meter.watch(layer.parameters())
            layer(given).sum().backward()
    return meter


def test_the_peak_of_a_backward_pass():
    gradient = CLASSES * WIDTH * 4
    for mode in (nullcontext(), FakeTensorMode()):
        # The scores are gone when the gradient comes, since a sum does not need them.
        assert gradient <= sum(step(mode).peak.values()) <= gradient + 64


def test_gradients_are_shared():
    gradient = CLASSES * WIDTH * 4
    found = [step(nullcontext(), shards).live["gradients"] for shards in (1, 2)]
    assert found == [gradient, gradient // 2]
