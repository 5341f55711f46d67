"""Losses in parts, against the same losses as a whole."""

import pytest
import torch

from showo_turbo.losses import chunks
from showo_turbo.losses.chunks import in_chunks
from showo_turbo.losses.consistency import kl_of_logits
from showo_turbo.losses.language_model import cross_entropies
from showo_turbo.losses.regularizers import kl_of_recorded
from showo_turbo.planning.live_bytes import LiveBytes

ROWS, CLASSES, KEPT = 23, 17, 3


def random(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape))).to(dtype)


ids = torch.stack([torch.arange(KEPT) + row % 5 for row in range(ROWS)])
CASES = {
    "kl": (kl_of_logits, [random(ROWS, CLASSES, dtype=torch.bfloat16)]),
    "cross_entropy": (cross_entropies, [torch.arange(ROWS) % CLASSES]),
    "recorded": (kl_of_recorded, [random(ROWS, KEPT), ids]),
    "all recorded": (kl_of_recorded, [random(ROWS, CLASSES)]),
}


def value_and_gradient(loss, logits, others):
    leaf = logits.clone().requires_grad_()
    losses = loss(leaf, *others)
    # Each row weighs another part, as where samples have different numbers of positions.
    (losses * torch.linspace(0.5, 2, len(losses))).sum().backward()
    return losses.detach(), leaf.grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("at_once", [1, 5 * CLASSES, 23 * CLASSES])
def test_bit_exact(monkeypatch, case, dtype, at_once):
    loss, others = CASES[case]
    logits = random(ROWS, CLASSES, dtype=dtype) * 3
    expected = value_and_gradient(loss, logits, others)
    monkeypatch.setattr(chunks, "AT_ONCE", at_once)
    found = value_and_gradient(lambda *given: in_chunks(loss, *given), logits, others)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == theirs.dtype and torch.equal(mine, theirs)


def test_no_rows():
    logits = torch.zeros(0, CLASSES, requires_grad=True)
    in_chunks(cross_entropies, logits, torch.zeros(0, dtype=torch.long)).sum().backward()
    assert logits.grad.shape == logits.shape


@pytest.mark.parametrize("case", ["kl", "cross_entropy"])
def test_little_is_held_beside_the_logits(monkeypatch, case):
    rows, classes = 256, 300
    logits = random(rows, classes, dtype=torch.bfloat16).requires_grad_()
    others = [logits.detach()] if case == "kl" else [torch.zeros(rows, dtype=torch.long)]

    def held():
        with LiveBytes([logits]) as meter:
            in_chunks(CASES[case][0], logits, *others).mean().backward()
        return sum(meter.peak.values()) / (rows * classes * logits.element_size())

    assert held() > 4, "as a whole, float32 copies of all are held"
    monkeypatch.setattr(chunks, "AT_ONCE", 8 * classes)
    assert held() < 2.1, "the gradient, its copy in the leaf, and a part of the rest"
