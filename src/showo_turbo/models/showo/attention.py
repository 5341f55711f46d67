"""Which attention kernel a forward pass uses, and attention of rows of different lengths."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

if TYPE_CHECKING:  # it takes most of a second to import
    from torch.nn.attention.flex_attention import BlockMask

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


PACKED_ATTENTION = "packed_sdpa"
"""Name of `attention` among those of transformers."""


@dataclass(frozen=True)
class Packing:
    """Where tokens belong that are computed behind each other, row after row, without padding.

    Attributes:
        widths: Tokens of each row.
        row: `(tokens,)`, the row of each token.
        place: `(tokens,)`, its place among the row's.
    """

    widths: Sequence[int]
    row: Tensor
    place: Tensor

    @classmethod
    def of(cls, widths: Sequence[int], device: torch.device) -> "Packing":
        """Pack rows of so many tokens each."""
        row = torch.tensor([row for row, width in enumerate(widths) for _ in range(width)])
        place = torch.tensor([place for width in widths for place in range(width)])
        return cls(widths, row.to(device), place.to(device))

    def unpack(self, packed: Tensor) -> Tensor:
        """Give each row a line of its own.

        Args:
            packed: `(1, heads, tokens, size)`.

        Returns:
            `(rows, heads, longest row, size)`.
        """
        _, heads, _, size = packed.shape
        lines = packed.new_zeros(len(self.widths), heads, max(self.widths), size)
        lines[self.row, :, self.place] = packed[0].transpose(0, 1)
        return lines

    def pack(self, lines: Tensor) -> Tensor:
        """Take the tokens out of `(rows, longest row, ...)`: `(1, tokens, ...)`."""
        return lines[self.row, self.place][None]


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: "Tensor | BlockMask | None",
    packing: Packing | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """PyTorch's attention, as transformers calls it; packed queries get lines of their own for it.

    Everything else in a transformer looks at one token at a time, so that only here packed tokens
    must know their rows.

    Args:
        module: The layer.
        query: `(batch, heads, tokens, size)`, or `(1, heads, tokens, size)` of packed rows.
        key: `(batch, heads, keys, size)`.
        value: Likewise.
        attention_mask: `(batch, 1, tokens of a line, keys)` bool; or a mask of FlexAttention, which
            then attends.
        packing: How queries are packed.
        **options: See `sdpa_attention_forward`.

    Returns:
        `(batch, tokens, heads, size)`, packed as the queries are, and no weights.
    """
    if not isinstance(attention_mask, Tensor | None):
        from transformers.integrations.flex_attention import flex_attention_forward

        # Under autocast the norms of queries and keys give float32.
        query, key = query.to(value.dtype), key.to(value.dtype)
        attended, _ = flex_attention_forward(module, query, key, value, attention_mask, **options)
        return attended, None
    if packing is None:
        attended, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return attended, None
    lines = packing.unpack(query)
    attended, _ = sdpa_attention_forward(module, lines, key, value, attention_mask, **options)
    return packing.pack(attended), None


AttentionInterface.register(PACKED_ATTENTION, attention)
