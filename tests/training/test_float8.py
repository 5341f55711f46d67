"""Layers that multiply in float8, emulated where there is no GPU for it."""

import shutil
import sys

import pytest
import torch

from showo_turbo.callbacks import Curriculum
from showo_turbo.curriculum import Stage
from showo_turbo.errors import UserError
from showo_turbo.sampling.image_sampling import SamplingChanges
from showo_turbo.training import PretrainMAGVITv2, float8
from showo_turbo.training.float8 import Float8Precision

from ..callbacks.runs import make_trainer, turbo_data, turbo_module
from ..tiny import tiny_magvitv2

torchao = pytest.importorskip("torchao.float8", reason="torchao is not installed")


def trained(folder, **options):
    """A module after a stage."""
    stage = Stage(epochs=2, image_trajectories=8, sampling=SamplingChanges(sampling_steps=4))
    trainer = make_trainer(folder, Curriculum([stage], batch_size=8), max_epochs=-1, **options)
    module = turbo_module(folder)
    trainer.fit(module, turbo_data(folder))
    return module, trainer


def weights_of(module):
    return torch.cat([parameter.detach().flatten() for parameter in module.student.parameters()])


def test_a_training_in_float8_stays_near_one_in_bfloat16(tmp_path):
    start = turbo_module(tmp_path)
    start.configure_model()
    plain, _ = trained(tmp_path, precision="bf16-mixed")
    shutil.rmtree(tmp_path / "curriculum")
    module, trainer = trained(tmp_path, plugins=[Float8Precision(emulate=True)])
    kinds = [type(part).__name__ for part in module.student.modules()]
    assert kinds.count("Float8Linear") == 12  # four of attention and two others in two layers
    assert list(module.state_dict()) == list(plain.state_dict())
    assert {parameter.dtype for parameter in module.student.parameters()} == {torch.float32}
    assert trainer.callback_metrics["train/loss"].isfinite()
    moved, wanted = (weights_of(found) - weights_of(start) for found in (module, plain))
    assert moved.norm() > 0
    assert torch.cosine_similarity(moved, wanted, dim=0) > 0.9


@pytest.mark.bad_input
def test_without_torchao(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao.float8", None)
    with pytest.raises(UserError, match=r"^Float8Precision needs .*showo-turbo\[float8\]"):
        Float8Precision()


@pytest.mark.bad_input
@pytest.mark.parametrize(("capability", "named"), [(None, "no GPU"), ((8, 6), "one of 8.6")])
def test_without_the_hardware(monkeypatch, capability, named):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    with pytest.raises(UserError, match=rf"8\.9 or more, and there is {named}"):
        float8.check_hardware()


@pytest.mark.bad_input
def test_a_module_without_such_layers(tmp_path):
    with pytest.raises(UserError, match="not PretrainMAGVITv2"):
        Float8Precision(emulate=True).convert_module(PretrainMAGVITv2(tiny_magvitv2().config))
