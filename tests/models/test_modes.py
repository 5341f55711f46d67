import pytest
from torch import nn

from showo_turbo.models.modes import evaluating


def test_every_module_gets_its_mode_back():
    training, still = nn.Linear(1, 1).train(), nn.Linear(1, 1).eval()
    with pytest.raises(ValueError), evaluating(training, still):
        assert not training.training and not still.training
        raise ValueError
    assert training.training and not still.training
