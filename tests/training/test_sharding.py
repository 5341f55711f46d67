"""Where networks are sharded by layer; runs of it are in `test_many_processes.py`."""

from types import SimpleNamespace

import pytest
from lightning.pytorch import Trainer

from showo_turbo.errors import UserError
from showo_turbo.training.sharding import FullySharded, is_fully_sharded, shard

from ..callbacks.runs import Bystander
from ..tiny import tiny_showo


def test_elsewhere_nothing_is_sharded():
    network = tiny_showo()
    module = SimpleNamespace(_trainer=None)
    shard(module, network)
    module._trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    shard(module, network)
    assert not is_fully_sharded(network)


@pytest.mark.bad_input
def test_layers_are_not_split():
    strategy = FullySharded.__new__(FullySharded)
    part = SimpleNamespace(size=lambda: 2)
    strategy._device_mesh = {"tensor_parallel": part, "data_parallel": part}
    module = SimpleNamespace(_trainer=SimpleNamespace(strategy=strategy))
    message = r"FullySharded splits single layers over 2 devices, .*; use showo_turbo"
    with pytest.raises(UserError, match=message):
        shard(module, tiny_showo())


@pytest.mark.bad_input
def test_modules_whose_networks_are_not_sharded():
    strategy = FullySharded.__new__(FullySharded)
    strategy._lightning_module = Bystander()
    with pytest.raises(UserError, match="Bystander has none that are sharded"):
        strategy.setup(None)
