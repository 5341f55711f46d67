"""Live bytes, against sums by hand."""

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


def step(real, shards=1):
    """One linear layer to classes, and its backward pass, on tensors with or without contents."""
    mode = torch.no_grad() if real else FakeTensorMode()
    with mode:
        layer, given = nn.Linear(WIDTH, CLASSES, bias=False), torch.ones(ROWS, WIDTH)
    with torch.enable_grad(), LiveBytes([layer.weight, given], [CLASSES], shards) as meter:
        meter.watch(layer.parameters())
        if real:
            layer(given).sum().backward()
        else:
            with mode, meter:
                layer(given).sum().backward()
    return meter.peak


def test_the_peak_of_a_backward_pass():
    scores, gradient = ROWS * CLASSES * 4, CLASSES * WIDTH * 4
    found = step(real=True)
    # Scores and their sum live on; then the gradient of the weights comes.
    assert found["gradients"] in (0, gradient)
    assert scores <= found["logits"] <= 2 * scores
    assert gradient <= sum(found.values()) <= 2 * scores + 2 * gradient + 64


def test_gradients_are_shared():
    whole, half = step(real=True), step(real=True, shards=2)
    assert sum(half.values()) <= sum(whole.values())
