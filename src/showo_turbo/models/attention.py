"""Omni-attention as boolean masks: causal everywhere, both ways inside an image."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

SHORT = 256
"""Sequences up to this many tokens train faster on a CPU without the fused kernel."""


def omni_attention_mask(bidirectional: Tensor, padding: Tensor | None = None) -> Tensor:
    """Which token may look at which: `True` where a query attends to a key.

    Every token sees itself and what came before it. Tokens flagged `bidirectional` also see each
    other in both directions: `soi .. eoi` in text-to-image, everything up to `eoi` in
    understanding, nothing in plain language. Real tokens never see padding.

    Args:
        bidirectional: `(batch, tokens)` bool.
        padding: `(batch, tokens)` bool, `True` at padding; none by default.

    Returns:
        `(batch, 1, tokens, tokens)` bool: queries by keys.

    Source: Show-o (arXiv 2408.12528), section 3.2, "omni-attention".
    """
    tokens = bidirectional.shape[1]
    positions = torch.arange(tokens, device=bidirectional.device)
    mask = positions[:, None] >= positions[None, :]
    mask = mask | (bidirectional[:, :, None] & bidirectional[:, None, :])
    if padding is not None:
        mask = mask & ~(padding[:, None, :] & ~padding[:, :, None])
    return mask[:, None]


def cached_attention_mask(
    lengths: Tensor, new_tokens: int, extent: int, *, bidirectional: bool
) -> Tensor:
    """Mask for tokens appended to a cache, each sample at the end of its own prefix.

    Key slots `0 .. lengths[b] - 1` hold sample b's prefix and the next `new_tokens` slots the
    appended tokens; later slots are stale and never seen.

    Args:
        lengths: `(batch,)` prefix lengths.
        new_tokens: Number of appended tokens, the queries.
        extent: Number of key slots.
        bidirectional: Whether the appended tokens see each other both ways (an image) or only
            backwards (text).

    Returns:
        `(batch, 1, new_tokens, extent)` bool.
    """
    slots = torch.arange(extent, device=lengths.device)
    if bidirectional:
        visible = slots < lengths[:, None] + new_tokens
        return visible[:, None, None, :].expand(-1, 1, new_tokens, -1)
    last_visible = lengths[:, None] + torch.arange(new_tokens, device=lengths.device)
    return (slots <= last_visible[:, :, None])[:, None]


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
