import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from showo_turbo.models.magvitv2 import MAGVITv2, MAGVITv2Config
from showo_turbo.training.latent_initialization import spread_latents
from showo_turbo.training.pretrain_magvitv2 import PretrainMAGVITv2

from ..tiny import tiny_magvitv2

SIZES = MAGVITv2Config(8, (1, 1), (1, 1), (1, 1), (1, 1), bits=4, norm_groups=2)


def images(count=12):
    """Colored squares on white, 8 x 8 pixels."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.ones(count, 3, 8, 8)
    for image in pixels:
        top, left = torch.randint(1, 5, (2,), generator=generator)
        image[:, top : top + 2, left : left + 2] = torch.randint(
            -1, 1, (3, 1, 1), generator=generator
        )
    return [{"pixels": image} for image in pixels]


def train(module, steps=3, **options):
    trainer = Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **options,
    )
    loader = DataLoader(images(), batch_size=4)
    trainer.fit(module, loader, loader)
    return trainer


class TestTraining:
    def test_the_loss_falls_and_everything_is_logged(self):
        torch.manual_seed(0)
        module = PretrainMAGVITv2(
            SIZES,
            object_weight=4.0,
            joint_entropy=True,
            spread_codes=True,
            read_image=lambda rgb: rgb.shape,
            optimizer=lambda parameters: torch.optim.Adam(parameters, lr=3e-3),
        )
        module.configure_model()
        before = (module.model(torch.stack([i["pixels"] for i in images()])).pixels - 1).square()
        trainer = train(module, steps=60)
        after = (module.model(torch.stack([i["pixels"] for i in images()])).pixels - 1).square()
        assert after.mean() < before.mean() / 2
        metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
        assert metrics["val/same_reading"] == 1
        assert 0 < metrics["val/codebook_usage"] <= 1
        assert metrics["train/loss"] == pytest.approx(
            metrics["train/reconstruction_error"]
            + 0.1 * metrics["train/entropy"]
            + 0.1 * metrics["train/commitment"],
            rel=1e-4,
        )

    def test_reading_gets_bytes_and_compares(self):
        seen = []

        def read(rgb):
            seen.append(rgb)
            return rgb.tobytes()

        trainer = train(PretrainMAGVITv2(SIZES, read_image=read, optimizer=still))
        assert trainer.callback_metrics["val/same_reading"] == 0  # nothing is learned
        assert all(rgb.shape == (8, 8, 3) and rgb.dtype == np.uint8 for rgb in seen)
        original = ((images()[0]["pixels"] + 1) * 127.5).round().permute(1, 2, 0).numpy()
        assert any((rgb == original).all() for rgb in seen)

    def test_configure_model_builds_once(self):
        module = PretrainMAGVITv2(SIZES)
        module.configure_model()
        network = module.model
        module.configure_model()
        assert module.model is network

    def test_the_schedule_steps_with_the_optimizer(self):
        module = PretrainMAGVITv2(
            SIZES,
            optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0),
            lr_scheduler=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5),
        )
        trainer = train(module, steps=3, limit_val_batches=0)
        assert trainer.optimizers[0].param_groups[0]["lr"] == 1 / 8

    def test_the_first_batch_spreads_codes_only_once(self, tmp_path):
        module = PretrainMAGVITv2(SIZES, spread_codes=True, optimizer=still)
        trainer = train(module, limit_val_batches=0)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        again = PretrainMAGVITv2(SIZES, spread_codes=True, optimizer=still)
        trainer = Trainer(
            max_steps=5,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            limit_val_batches=0,
        )
        trainer.fit(again, DataLoader(images(), 4), ckpt_path=tmp_path / "last.ckpt")
        assert torch.equal(
            again.model.encoder.quant_conv.weight, module.model.encoder.quant_conv.weight
        )


def still(parameters):
    return torch.optim.SGD(parameters, lr=0.0)


@pytest.mark.parametrize("isolated", [False, True])
def test_spread_latents_are_white(isolated):
    network: MAGVITv2 = tiny_magvitv2(bits=5, isolated_patches=isolated)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(8, 3, 16, 16, generator=generator) * 2 - 1
    weights = torch.rand(8, 4, 4, generator=generator) + 0.1
    few = network.encode(pixels).unique().numel()
    spread_latents(network, pixels, weights)
    latents = network.pixels_to_latents(pixels).movedim(1, -1).reshape(-1, 5).detach()
    share = weights.flatten() / weights.sum()
    mean = share @ latents
    covariance = (latents - mean).T @ ((latents - mean) * share[:, None])
    torch.testing.assert_close(mean, torch.zeros(5), rtol=0, atol=1e-3)
    torch.testing.assert_close(covariance, torch.eye(5), rtol=0, atol=1e-2)
    assert network.encode(pixels).unique().numel() > few
