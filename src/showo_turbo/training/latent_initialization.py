"""First weights of an image tokenizer that give different patches different codes."""

import torch
from torch import Tensor

from ..models.magvitv2 import MAGVITv2

SMALLEST_VARIANCE = 1e-8


@torch.no_grad()
def spread_latents(model: MAGVITv2, pixels: Tensor, weights: Tensor) -> None:
    """Change the encoder's last layer so that its latents are white over the patches of a batch.

    A network with random weights gives nearly the same latents, hence the same code, to all
    patches, and training has to pull the codes apart one bit at a time. Latents of zero mean and
    unit covariance, turned at random, have signs that already tell most patches apart, as in
    hashing by random projections. Setting first weights from a batch follows LSUV (Mishkin and
    Matas, arXiv 1511.06422).

    Args:
        model: Tokenizer with its first, random weights.
        pixels: `(batch, 3, height, width)` in `[-1, 1]`.
        weights: Of the patches, `(batch, rows, columns)`.
    """
    layer = model.encoder.quant_conv
    latents = model.pixels_to_latents(pixels).movedim(1, -1).flatten(0, 2).double()
    share = weights.flatten().double() / weights.sum()
    mean = share @ latents
    centered = latents - mean
    covariance = (centered * share[:, None]).T @ centered
    variances, directions = torch.linalg.eigh(covariance)
    turn = torch.linalg.qr(torch.randn_like(covariance)).Q
    whiten = turn @ (directions / variances.clamp_min(SMALLEST_VARIANCE).sqrt()).T
    layer.weight.copy_(torch.einsum("ij,jkhw->ikhw", whiten, layer.weight.double()))
    if layer.bias is not None:
        layer.bias.copy_(whiten @ (layer.bias.double() - mean))
