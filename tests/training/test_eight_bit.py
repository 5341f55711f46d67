"""Moments of 8 bits come from bitsandbytes, which need not be installed."""

import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from showo_turbo.errors import UserError
from showo_turbo.training.eight_bit import EightBitAdamW
from showo_turbo.training.optimization import optimizer_and_schedule


class AdamW8bit(torch.optim.AdamW):
    """Stands in for that of bitsandbytes."""


def make(groups):
    return EightBitAdamW(groups, lr=0.25, weight_decay=0.5)


def test_it_is_the_one_of_bitsandbytes(monkeypatch):
    package, module = ModuleType("bitsandbytes"), ModuleType("bitsandbytes.optim")
    module.AdamW8bit = AdamW8bit
    monkeypatch.setitem(sys.modules, "bitsandbytes", package)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", module)
    made = optimizer_and_schedule(nn.Linear(2, 2), make, None)
    assert type(made) is AdamW8bit
    assert {group["lr"] for group in made.param_groups} == {0.25}
    assert {group["weight_decay"] for group in made.param_groups} == {0.5}


@pytest.mark.bad_input
def test_without_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(UserError, match=r"^EightBitAdamW needs .*showo-turbo\[eight-bit\]"):
        optimizer_and_schedule(nn.Linear(2, 2), make, None)
