"""What is recomputed in the backward pass changes what is held, and no gradient."""

import pytest
import torch

from showo_turbo.planning.live_bytes import LiveBytes

from ..tiny import tiny_showo
from ..tiny_mmada import tiny_mmada

WAYS = {"nothing": None, "elementwise": (True,), "layers": ()}


def step(make, way):
    """The gradients of a step under autocast, and the bytes that it holds at most."""
    network = make().train()
    if WAYS[way] is not None:
        network.gradient_checkpointing_enable(*WAYS[way])
    codes = torch.full((8, 16), network.mask_code)
    with LiveBytes(network.parameters()) as meter:
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            logits = network.image_logits([[1, 2, 3]] * 8, codes)
        loss = logits.float().log_softmax(dim=-1)[..., 0].mean()
        held = sum(meter.live.values())
        loss.backward()
    named = network.named_parameters()
    return {name: value.grad for name, value in named if value.grad is not None}, held


@pytest.mark.parametrize("make", [lambda: tiny_showo(layers=6), tiny_mmada], ids=["Showo", "MMaDA"])
def test_ways_of_recomputing(make):
    gradients, held = zip(*(step(make, way) for way in WAYS), strict=True)
    assert held[2] < held[1] < 0.75 * held[0]
    # Bit-exact; that layers as a whole give what is given without is tested with the networks.
    assert all(torch.equal(gradients[1][name], value) for name, value in gradients[2].items())
    assert len(gradients[2]) > 20
