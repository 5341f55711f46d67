"""Pixels as bytes."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_bytes(pixels: Tensor) -> NDArray[np.uint8]:
    """Turn pixels `(batch, 3, height, width)` in [-1, 1] into RGB `(batch, height, width, 3)`."""
    images = ((pixels.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    array: NDArray[np.uint8] = images.permute(0, 2, 3, 1).cpu().numpy()
    return array
