"""Weights in the type to which autocast casts them: nothing changes."""

import torch
from torch import nn

from showo_turbo.models.autocast import cast_linear_layers, type_of_use

from ..tiny import tiny_showo

CPU = torch.device("cpu")


@torch.no_grad()
def drawn(network):
    codes = torch.full((3, 16), network.mask_code)
    with torch.autocast("cpu", torch.bfloat16):
        prefix = network.begin_images([[1, 2, 3], [4], []])
        return prefix.logits(codes), network.image_logits([[5, 6]] * 3, codes)


def test_predictions_are_bit_exact():
    network = tiny_showo(layers=2)
    expected = drawn(network)
    with torch.autocast("cpu", torch.bfloat16):
        cast_linear_layers(network, CPU)
    types = {type(part): part.weight.dtype for part in network.modules() if hasattr(part, "weight")}
    assert types[nn.Linear] == torch.bfloat16
    assert types[nn.Embedding] == types[nn.LayerNorm] == torch.float32
    for mine, theirs in zip(drawn(network), expected, strict=True):
        assert torch.equal(mine, theirs)


def test_without_autocast_nothing_is_cast():
    network = tiny_showo(layers=1)
    cast_linear_layers(network, CPU)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert type_of_use(torch.zeros(1)) == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert type_of_use(torch.zeros(1)) == torch.bfloat16
        assert type_of_use(torch.zeros(1, dtype=torch.float64)) == torch.float64
