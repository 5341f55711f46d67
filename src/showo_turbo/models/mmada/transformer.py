"""The bidirectional transformer of LLaDA (arXiv 2502.09992): Llama's layers without a direction."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .config import MMaDAConfig

INITIAL_STD = 0.02
"""Standard deviation of random weights."""

Rotation = tuple[Tensor, Tensor]
"""Cosines and sines of the angles that positions rotate by, each `(batch, 1, tokens, head)`."""


class RMSNorm(nn.Module):
    """Divides by the root mean square; in float32 up to the weight, as the released network does.

    Args:
        size: Width.
        eps: What keeps it from dividing by zero.
    """

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalize `(..., size)`."""
        single = hidden.float()
        single = single * torch.rsqrt(single.square().mean(dim=-1, keepdim=True) + self.eps)
        return self.weight * single.to(hidden.dtype)


def rotation_of(position_ids: Tensor, head_size: int, theta: float) -> Rotation:
    """Rotary position embedding (arXiv 2104.09864) over whole heads, in float32.

    Args:
        position_ids: `(batch, tokens)`.
        head_size: Dimensions of a head; dimension i rotates with i + head_size / 2.
        theta: Base of the frequencies.
    """
    exponents = torch.arange(0, head_size, 2, device=position_ids.device).float() / head_size
    angles = position_ids[:, None, :, None].float() * (1.0 / theta**exponents)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def rotate(heads: Tensor, rotation: Rotation) -> Tensor:
    """Rotate queries or keys `(batch, heads, tokens, head)` by their positions."""
    cosine, sine = rotation
    first, second = heads.float().chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return (heads.float() * cosine + turned * sine).to(heads.dtype)


class Block(nn.Module):
    """One transformer layer; its parts are named as in the released checkpoints.

    Args:
        config: Sizes.
    """

    def __init__(self, config: MMaDAConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.heads, self.kv_heads = config.heads, config.kv_heads
        self.head_size = width // config.heads
        narrow = self.head_size * config.kv_heads
        self.attn_norm = RMSNorm(width, config.norm_eps)
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, narrow, bias=False)
        self.v_proj = nn.Linear(width, narrow, bias=False)
        self.attn_out = nn.Linear(width, width, bias=False)
        self.ff_norm = RMSNorm(width, config.norm_eps)
        self.ff_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.ff_out = nn.Linear(inner, width, bias=False)

    def forward(self, hidden: Tensor, rotation: Rotation, attention_mask: Tensor | None) -> Tensor:
        """Run the layer.

        Args:
            hidden: `(batch, tokens, width)`.
            rotation: Of each token's position.
            attention_mask: `(batch, 1, tokens, tokens)` bool, `True` where attended; None where
                every token attends to every token.
        """
        hidden = hidden + self.attn_out(
            self._attention(self.attn_norm(hidden), rotation, attention_mask)
        )
        normed = self.ff_norm(hidden)
        inner = F.silu(self.ff_proj(normed)) * self.up_proj(normed)
        output: Tensor = hidden + self.ff_out(inner)
        return output

    def _attention(self, normed: Tensor, rotation: Rotation, mask: Tensor | None) -> Tensor:
        def split(tokens: Tensor, heads: int) -> Tensor:
            parts: Tensor = tokens.unflatten(-1, (heads, self.head_size))
            return parts.transpose(1, 2)

        query = rotate(split(self.q_proj(normed), self.heads), rotation)
        key = rotate(split(self.k_proj(normed), self.kv_heads), rotation)
        value = split(self.v_proj(normed), self.kv_heads)
        shared = self.heads // self.kv_heads
        if shared > 1:
            key, value = (part.repeat_interleave(shared, dim=1) for part in (key, value))
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return attended.transpose(1, 2).flatten(2)


class Transformer(nn.Module):
    """Embedding, layers, norm and output head, named as in the released checkpoints.

    Args:
        config: Sizes.

    Attributes:
        recomputed: Options of `checkpoint`, if activations are recomputed in the backward pass.
    """

    def __init__(self, config: MMaDAConfig) -> None:
        super().__init__()
        self.theta = config.rope_theta
        self.head_size = config.hidden_size // config.heads
        self.recomputed: dict[str, Any] | None = None
        width, rows = config.hidden_size, config.vocabulary_size
        self.wte = nn.Embedding(rows, width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.ln_f = RMSNorm(width, config.norm_eps)
        self.ff_out = nn.Linear(width, rows, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=INITIAL_STD)

    def forward(
        self, input_ids: Tensor, position_ids: Tensor, attention_mask: Tensor | None = None
    ) -> Tensor:
        """Run the layers over whole sequences.

        Args:
            input_ids: `(batch, tokens)`.
            position_ids: `(batch, tokens)`.
            attention_mask: See `Block.forward`.

        Returns:
            `(batch, tokens, width)` after the final norm.
        """
        hidden: Tensor = self.wte(input_ids)
        rotation = rotation_of(position_ids, self.head_size, self.theta)
        for block in self.blocks:
            if self.recomputed is not None and torch.is_grad_enabled():
                hidden = checkpoint(block, hidden, rotation, attention_mask, **self.recomputed)
            else:
                hidden = block(hidden, rotation, attention_mask)
        normed: Tensor = self.ln_f(hidden)
        return normed

    def logits(self, hidden: Tensor, rows: slice = slice(None)) -> Tensor:
        """Output head, or only some of its rows; `(..., width)` to `(..., rows)`."""
        return F.linear(hidden, self.ff_out.weight[rows])
