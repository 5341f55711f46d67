import torch
from torch import nn

from showo_turbo.trajectories import fingerprint_module, fingerprint_tensors
from showo_turbo.utils.hashing import fingerprint_lines


def test_depends_on_every_parameter_and_on_nothing_else():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    first = fingerprint_module(module)
    assert len(first) == 64
    module.eval().requires_grad_(False)
    assert fingerprint_module(module) == first
    with torch.no_grad():
        module[1].bias[2] += 1e-6
    assert fingerprint_module(module) != first


def test_names_shapes_and_types_count():
    zeros = torch.zeros(4)
    prints = {
        fingerprint_tensors({"a": zeros}),
        fingerprint_tensors({"b": zeros}),
        fingerprint_tensors({"a": zeros.view(2, 2)}),
        fingerprint_tensors({"a": zeros.int()}),
        fingerprint_tensors({"a": zeros, "b": zeros[:0]}),
        fingerprint_tensors({"a": torch.tensor(0.0)}),
    }
    assert len(prints) == 6


def test_order_and_memory_layout_do_not_count():
    a, b = torch.randn(3, 4), torch.randn(2).bfloat16()
    straight = fingerprint_tensors({"a": a, "b": b})
    assert fingerprint_tensors({"b": b, "a": a.t().contiguous().t()}) == straight


def test_lines_depend_on_their_order_and_bounds():
    assert fingerprint_lines(["a", "b"]) != fingerprint_lines(["b", "a"])
    assert fingerprint_lines(["a", "b"]) != fingerprint_lines(["ab"])
    assert fingerprint_lines(["a\nb"]) != fingerprint_lines(["a", "b"])
