"""Gradients are clipped by hand where Lightning does not, and as by hand."""

import copy
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

from showo_turbo.errors import UserError
from showo_turbo.training import PretrainMAGVITv2, PretrainShowo, ShowoTurbo
from showo_turbo.training.clipping import clip_gradients
from showo_turbo.training.optimization import optimizer_and_schedule

STEPS, RATE, LARGEST = 3, 0.1, 0.25


class Layers(LightningModule):
    """Two layers, whose gradients are far larger than `LARGEST`."""

    configure_gradient_clipping = clip_gradients

    def __init__(self, **options):
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        self.options = options

    def training_step(self, batch, batch_index):
        return loss_of(self.network, batch)

    def configure_optimizers(self):
        return optimizer_and_schedule(
            self, lambda groups: torch.optim.AdamW(groups, lr=RATE, **self.options), None
        )


def loss_of(network, batch):
    return 10 * network(batch).square().sum()


def batches():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(STEPS, 3, generator=generator)


def fit(module, folder, precision="bf16-mixed", algorithm=None):
    Trainer(
        accelerator="cpu",
        precision=precision,
        max_epochs=1,
        gradient_clip_val=LARGEST,
        gradient_clip_algorithm=algorithm,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    ).fit(module, DataLoader(batches()))
    return module.network


def by_hand(network, algorithm):
    """Autocast, a backward pass, the clipping as it is defined, and an AdamW that is not fused."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, foreach=False)
    for batch in batches():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(network, batch[None])
        loss.backward()
        gradients = [parameter.grad for parameter in network.parameters()]
        norm = sum(float(g.double().square().sum()) for g in gradients) ** 0.5
        assert norm > 10 * LARGEST
        for gradient in gradients:
            if algorithm == "value":
                gradient.clamp_(-LARGEST, LARGEST)
            else:
                gradient.mul_(LARGEST / norm)
        optimizer.step()
    return network


@pytest.mark.parametrize("algorithm", [None, "norm", "value"])
def test_fused_under_mixed_precision(tmp_path, algorithm):
    module = Layers(fused=True)
    expected = by_hand(copy.deepcopy(module.network), algorithm)
    for ours, theirs in zip(
        fit(module, tmp_path, algorithm=algorithm).parameters(), expected.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("module", [ShowoTurbo, PretrainShowo, PretrainMAGVITv2])
def test_all_modules_clip_so(module):
    assert module.configure_gradient_clipping is clip_gradients


@pytest.mark.bad_input
def test_a_fused_optimizer_that_unscales():
    module = Layers(fused=True)
    module.trainer = SimpleNamespace(  # on a CPU Lightning makes it bf16-mixed
        strategy=SimpleNamespace(model=module),
        precision="16-mixed",
        precision_plugin=SimpleNamespace(scaler=object()),
    )
    with pytest.raises(UserError, match=r"0\.25, but a fused AdamW unscales .* of 16-mixed itself"):
        clip_gradients(module, module.configure_optimizers(), LARGEST)


@pytest.mark.bad_input
def test_a_fused_optimizer_without_its_kernel():
    module = Layers(fused=True).to("meta")
    with pytest.raises(UserError, match=r"the optimizer cannot be made \(`fused"):
        module.configure_optimizers()
