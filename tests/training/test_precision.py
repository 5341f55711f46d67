"""bfloat16 where the hardware has it, float32 elsewhere."""

import pytest
import torch

from showo_turbo.data import ImageDataModule, PretrainBatchSizes, PretrainDataModule
from showo_turbo.errors import UserError
from showo_turbo.shapes import ShapesWorld
from showo_turbo.training import PretrainMAGVITv2, PretrainShowo, precision
from showo_turbo.training.precision import AutoPrecision

from ..callbacks.runs import make_trainer
from ..tiny import tiny_magvitv2


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


@pytest.fixture(params=["image tokenizer", "base"])
def pretraining(request, random_shapes_model, world):
    """A module and its data."""
    shapes = ShapesWorld(world, images=48, documents=16, validation_images=8)
    if request.param == "base":
        sizes = PretrainBatchSizes(image=2, text=1, language=1)
        module = PretrainShowo(initial_weights=str(random_shapes_model), text_tokenizer="shapes")
        return module, PretrainDataModule(24, shapes=shapes, batch_sizes=sizes)
    data = ImageDataModule(24, batch_size=4, shapes=shapes)
    return PretrainMAGVITv2(tiny_magvitv2().config), data


@pytest.mark.parametrize(
    ("name", "kind"), [("bf16-true", torch.bfloat16), ("64-true", torch.float64)]
)
def test_pretraining_in_other_types(pretraining, tmp_path, name, kind):
    module, data = pretraining
    trainer = make_trainer(tmp_path, precision=name, max_steps=2)
    trainer.fit(module, data)
    assert {parameter.dtype for parameter in module.model.parameters()} == {kind}
    assert all(parameter.isfinite().all() for parameter in module.model.parameters())
    assert trainer.callback_metrics["train/loss"].isfinite()


@pytest.mark.bad_input
def test_pretraining_in_float16_is_refused(pretraining, tmp_path):
    with pytest.raises(UserError, match=r"precision is 16-true, in which .* become NaN"):
        make_trainer(tmp_path, precision="16-true").fit(*pretraining)
    assert not list(tmp_path.iterdir())
