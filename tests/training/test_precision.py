"""bfloat16 where the hardware has it, float32 elsewhere."""

import torch

from showo_turbo.training import precision
from showo_turbo.training.precision import AutoPrecision


def product_type(plugin):
    with plugin.forward_context():
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


def test_bfloat16_where_the_cpu_has_it(monkeypatch):
    for feature, expected in [("avx512_bf16", torch.bfloat16), ("avx512_f", torch.float32)]:
        found = {feature: True}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found, raising=False)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        plugin = AutoPrecision()
        assert product_type(plugin) == expected
        assert plugin.precision == ("bf16-mixed" if plugin.devices else "32-true")


def test_a_torch_that_cannot_tell_computes_in_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert precision.bfloat16_devices() == []
