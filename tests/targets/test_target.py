"""A consistency target of a user's own."""

import pytest
from torch import nn

from showo_turbo.errors import UserError
from showo_turbo.targets import ConsistencyTarget


class Forgetful(ConsistencyTarget):
    def network(self, module):
        module.student.eval()


class Mine(ConsistencyTarget):
    def network(self, module):
        return module.student


class Distilled:
    student = nn.Linear(1, 1)


def test_a_target_predicts_with_its_network():
    assert Mine().predict(Distilled(), lambda network: network) is Distilled.student


@pytest.mark.bad_input
def test_a_network_that_is_none():
    with pytest.raises(UserError, match=r"what Forgetful\.network returns is of the class NoneT"):
        Forgetful().predict(Distilled(), lambda network: network.weight)
