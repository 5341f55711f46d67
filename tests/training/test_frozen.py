import copy

import pytest
import torch
from torch import nn

from showo_turbo.training.frozen import exclude_from_checkpoints, freeze


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.student = nn.Linear(2, 2)
        self.teacher = nn.Linear(2, 2)
        exclude_from_checkpoints(self, "teacher")


def test_excluded_weights_are_neither_saved_nor_asked_for():
    pair = Pair()
    state = pair.state_dict()
    assert set(state) == {"student.weight", "student.bias"}
    before = pair.teacher.weight.clone()
    pair.load_state_dict(state)
    assert torch.equal(pair.teacher.weight, before)


def test_loading_stays_strict_for_the_rest():
    state = Pair().state_dict()
    del state["student.bias"]
    with pytest.raises(RuntimeError, match=r"student\.bias"):
        Pair().load_state_dict(state)


def test_excluded_weights_stay_out_inside_another_module():
    outer = nn.Sequential(Pair())
    state = outer.state_dict()
    assert set(state) == {"0.student.weight", "0.student.bias"}
    outer.load_state_dict(state)
    del state["0.student.bias"]
    with pytest.raises(RuntimeError, match=r"0\.student\.bias"):
        outer.load_state_dict(state)


def test_frozen_modules_stay_in_eval_mode_and_out_of_training():
    pair = Pair()
    freeze(pair.teacher)
    pair.train()
    assert pair.student.training and not pair.teacher.training
    twin = copy.deepcopy(pair).train()
    assert twin.student.training and not twin.teacher.training
    assert twin.teacher.train() is twin.teacher
    assert not any(parameter.requires_grad for parameter in pair.teacher.parameters())
    assert all(parameter.requires_grad for parameter in pair.student.parameters())
