"""Which attention kernel a forward pass uses."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

SHORT = 256
"""Sequences up to this many tokens train faster on a CPU without the fused kernel."""


def fast_training_attention(input_ids: Tensor) -> AbstractContextManager[None]:
    """Choose the attention kernel for a forward pass over `(batch, tokens)` ids.

    On a CPU the backward pass of the fused kernel is made for long sequences: at 50 tokens in
    bfloat16 it alone takes as long as all the rest of a training step. Elsewhere, and without
    gradients, PyTorch's own choice stands.
    """
    if torch.is_grad_enabled() and input_ids.device.type == "cpu" and input_ids.shape[1] <= SHORT:
        kernel: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
        return kernel
    return nullcontext()
