"""Pretraining of the MAGVIT-v2 image tokenizer (Yu et al., arXiv 2310.05737, section 3.1)."""

from collections.abc import Callable
from typing import Any, TypedDict

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..errors import UserError
from ..losses.image_tokenizer import (
    commitment_loss,
    entropy_loss,
    object_weights,
    reconstruction_error,
    signal_to_noise,
)
from ..models.checkpoints import MAGVITV2_CONFIG_KEY
from ..models.magvitv2 import MAGVITv2, MAGVITv2Config
from .arguments import note_arguments
from .clipping import clip_gradients
from .latent_initialization import spread_latents
from .optimization import optimizer_and_schedule
from .precision import check_trainable


class PixelBatch(TypedDict):
    """A batch of images, `pixels` `(batch, 3, height, width)` in `[-1, 1]`, or of clips."""

    pixels: Tensor


class PretrainMAGVITv2(LightningModule):
    """Train an image tokenizer on images alone, or one of clips on clips.

    The loss is the reconstruction error, plus an entropy term that makes the encoder decided about
    every patch and varied over patches, plus a commitment term that keeps the latents near their
    signs. The paper's perceptual and adversarial terms are left out: flat shapes do not need them.

    Logged in training: `train/loss` and its three terms, and `train/codebook_usage` (fraction of
    the codes that occur in the batch). In validation, over all images: `val/reconstruction_error`,
    `val/psnr` (peak signal-to-noise ratio in decibels, mean over the images), `val/codebook_usage`,
    and `val/same_reading` if `read_image` is given.

    Args:
        tokenizer: Sizes of the network, which starts from random weights; those of the
            `initial_weights` by default.
        initial_weights: Image tokenizer to start from instead: `shapes`, a folder or a hub id. One
            of clips, such as `showo-turbo inflate` makes, is trained on clips.
        object_weight: Weight of a pixel that differs from its image's background, which weighs 1.
            Small objects are lost at 1; photographs have no background, use 1 for them.
        entropy_weight: Weight of the entropy term.
        commitment_weight: Weight of the commitment term.
        joint_entropy: Whether the variety of codes is measured on whole codes instead of on single
            bits, so that different patches get different codes. Needs memory in proportion to the
            codebook.
        spread_codes: Whether the first batch sets the encoder's last layer so that codes differ
            from the start. Not for strategies that shard the weights.
        read_image: Reads what an image, RGB `(height, width, 3)`, shows, such as
            `showo_turbo.shapes.checker.read_image`. Validation then reports the fraction of
            images whose reconstruction reads the same.
        optimizer: Makes the optimizer.
        lr_scheduler: Makes the learning rate schedule, stepped once an optimizer step; constant if
            missing.

    Source: MAGVIT-v2 (arXiv 2310.05737), section 3.1.
    """

    def __init__(
        self,
        tokenizer: MAGVITv2Config | None = None,
        initial_weights: str | None = None,
        object_weight: float = 1.0,
        entropy_weight: float = 0.1,
        commitment_weight: float = 0.1,
        joint_entropy: bool = False,
        spread_codes: bool = False,
        read_image: Callable[[NDArray[np.uint8]], object] | None = None,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__()
        if (tokenizer is None) == (initial_weights is None):
            both = "both are" if tokenizer else "neither is"
            raise UserError(
                f"tokenizer and initial_weights: {both} given; expected the sizes of a new network "
                "or one to start from, give one of them"
            )
        self.initial_weights = initial_weights
        self.tokenizer_config = tokenizer or MAGVITv2.read_config(str(initial_weights))
        self.object_weight = object_weight
        self.entropy_weight = entropy_weight
        self.commitment_weight = commitment_weight
        self.joint_entropy = joint_entropy
        self.spread_codes = spread_codes
        self.read_image = read_image
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.model: MAGVITv2 | None = None
        self._has_started = False
        self._codes_seen = torch.zeros(self.tokenizer_config.codebook_size, dtype=torch.bool)

    def setup(self, stage: str) -> None:
        """Look at the precision before anything is trained."""
        if stage == "fit":
            check_trainable(self.trainer)

    def configure_model(self) -> None:
        """Build or load the network once, where the strategy wants it."""
        if self.model is None and self.initial_weights is not None:
            self.model = MAGVITv2.from_pretrained(self.initial_weights).train()
        elif self.model is None:
            self.model = MAGVITv2(self.tokenizer_config)

    def training_step(self, batch: PixelBatch, batch_index: int) -> Tensor:
        """Return the weighted sum of the three terms.

        Raises:
            UserError: If the tokenizer does not take images of this size, or so many frames.
        """
        assert self.model is not None
        pixels = batch["pixels"]
        self.model.grid_of(pixels)  # raises if the tokenizer does not take them
        weights = object_weights(pixels, self.object_weight)
        patch_weights = functional.avg_pool2d(weights, self.tokenizer_config.patch_size)
        if pixels.ndim == 5:
            frames = self.tokenizer_config.frames_per_latent
            patch_weights = of_latent_frames(patch_weights, frames)
        if self.spread_codes and not self._has_started:
            self._spread_latents(pixels, patch_weights)
        reconstruction = self.model(pixels)
        error = reconstruction_error(reconstruction.pixels, pixels, weights)
        entropy = entropy_loss(reconstruction.latents, patch_weights, joint=self.joint_entropy)
        commitment = commitment_loss(reconstruction.latents)
        loss = error + self.entropy_weight * entropy + self.commitment_weight * commitment
        usage = reconstruction.codes.unique().numel() / self.tokenizer_config.codebook_size
        self.log("train/loss", loss, prog_bar=True)
        self.log_dict(
            {
                "train/reconstruction_error": error,
                "train/entropy": entropy,
                "train/commitment": commitment,
                "train/codebook_usage": usage,
            }
        )
        return loss

    def _spread_latents(self, pixels: Tensor, patch_weights: Tensor) -> None:
        """Set the encoder's last layer from rank 0's first batch; once, and not on resuming."""
        assert self.model is not None
        self._has_started = True
        if self.trainer.global_step > 0:
            return
        spread_latents(self.model, pixels, patch_weights)
        layer = self.model.encoder.quant_conv
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_(self.trainer.strategy.broadcast(parameter.detach().clone()))

    def on_validation_epoch_start(self) -> None:
        """Forget which codes were seen."""
        self._codes_seen.zero_()

    def validation_step(self, batch: PixelBatch, batch_index: int) -> None:
        """Encode and decode as a user of the tokenizer would, and compare."""
        assert self.model is not None
        pixels = batch["pixels"]
        codes = self.model.encode(pixels)
        decoded = self.model.decode(codes, self.model.grid_of(pixels))
        self._codes_seen[codes.flatten().cpu()] = True
        self.log(
            "val/reconstruction_error",
            reconstruction_error(decoded, pixels),
            batch_size=len(pixels),
            sync_dist=True,
        )
        ratio = signal_to_noise(decoded, pixels).mean()
        self.log("val/psnr", ratio, batch_size=len(pixels), sync_dist=True)
        if self.read_image is not None:
            same = [
                self.read_image(before) == self.read_image(after)
                for before, after in zip(_frames(pixels), _frames(decoded), strict=True)
            ]
            self.log(
                "val/same_reading",
                sum(same) / len(same),
                batch_size=len(same),
                prog_bar=True,
                sync_dist=True,
            )

    def on_validation_epoch_end(self) -> None:
        """Log how much of the codebook the validation images use."""
        seen = self._codes_seen.to(self.device)
        used = self.trainer.strategy.reduce(seen.float(), reduce_op="sum") > 0
        self.log("val/codebook_usage", used.float().mean())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is needed to export a checkpoint on its own."""
        checkpoint[MAGVITV2_CONFIG_KEY] = self.tokenizer_config.to_dict()
        note_arguments(self, checkpoint, tokenizer=self.tokenizer_config.to_dict())

    configure_gradient_clipping = clip_gradients

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer, and the schedule if there is one."""
        return optimizer_and_schedule(self, self.optimizer, self.lr_scheduler)


def of_latent_frames(weights: Tensor, frames_per_latent: int) -> Tensor:
    """Weights of latent frames, the mean of the frames that each stands for.

    Args:
        weights: `(batch, frames, rows, columns)`, the first frame by itself.
        frames_per_latent: Frames of each latent frame but the first.

    Returns:
        `(batch, latent frames, rows, columns)`.
    """
    later = weights[:, 1:].unflatten(1, (-1, frames_per_latent)).mean(dim=2)
    return torch.cat([weights[:, :1], later], dim=1)


def _frames(pixels: Tensor) -> NDArray[np.uint8]:
    """Images, or the frames of clips, in `[-1, 1]`, as bytes `(frames, height, width, 3)`."""
    if pixels.ndim == 5:
        pixels = pixels.transpose(1, 2).flatten(0, 1)
    scaled = ((pixels.float() + 1) * 127.5).round().to(torch.uint8)
    rgb: NDArray[np.uint8] = scaled.permute(0, 2, 3, 1).cpu().numpy()
    return rgb
