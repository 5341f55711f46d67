"""A key-value cache in which every sample has its own length."""

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autocast import type_of_use

BLOCK = 16
"""Key slots are attended over in whole blocks, as wide as a processor's vectors: how far the
longest sample of a batch reaches then changes no sum of the others, not even in its last bit."""


class KeyValueCache:
    """Keys and values of all layers in fixed slots; a sample's length says how many are real.

    Appended tokens go to the slots right after each sample's own prefix, so prompts of different
    lengths need no padding inside, and forgetting tokens is only a change of `lengths`: what lies
    beyond is stale and overwritten later. transformers' attention layers call `update`; the rest
    is for the samplers. Buffers are written in place, so this is for inference. Under autocast keys
    and values are kept in its type, to which attention would cast them at every pass.

    Args:
        layers: Number of transformer layers.
        batch: Number of samples.
        capacity: Slots a sample, for the prefix and everything that is appended at once.
        device: Where the lengths (and later the buffers) live.
    """

    def __init__(self, layers: int, batch: int, capacity: int, device: torch.device) -> None:
        self.capacity = capacity
        self.lengths = torch.zeros(batch, dtype=torch.long, device=device)
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers
        self._slots = torch.empty(batch, 0, dtype=torch.long, device=device)
        self._extent = 0

    def append(self, new_tokens: int) -> tuple[Tensor, int]:
        """Announce the next forward; call before the model runs.

        Args:
            new_tokens: Tokens that every sample appends.

        Returns:
            Their slots `(batch, new_tokens)`, which are also their positions, and the number of
            key slots that this forward attends over, a multiple of `BLOCK`.

        Raises:
            ValueError: If the capacity is exceeded.
        """
        needed = int(self.lengths.max()) + new_tokens
        if needed > self.capacity:
            raise ValueError(f"{needed} tokens do not fit a cache of {self.capacity} slots")
        self._extent = round_up(needed, BLOCK)
        offsets = torch.arange(new_tokens, device=self.lengths.device)
        self._slots = self.lengths[:, None] + offsets
        return self._slots, self._extent

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Store a layer's new keys and values; give all that the layer attends over.

        Args:
            keys: `(batch, heads, new_tokens, head_size)`.
            values: Likewise.
            layer: Index of the layer.

        Returns:
            Keys and values `(batch, heads, extent, head_size)`.
        """
        return (
            self._write(self._keys, keys, layer),
            self._write(self._values, values, layer),
        )

    def _write(self, buffers: list[Tensor | None], new: Tensor, layer: int) -> Tensor:
        buffer = buffers[layer]
        if buffer is None:
            batch, heads, _, size = new.shape
            shape = (batch, heads, round_up(self.capacity, BLOCK), size)
            buffer = torch.zeros(shape, dtype=type_of_use(new), device=new.device)
            buffers[layer] = buffer
        index = self._slots[:, None, :, None].expand_as(new)
        buffer.scatter_(2, index, new.to(buffer.dtype))
        return buffer[:, :, : self._extent]

    def get_seq_length(self, layer: int = 0) -> int:
        """Longest prefix; part of the interface that transformers expects."""
        return int(self.lengths.max())

    def select(self, samples: Tensor) -> Self:
        """A new cache with the given samples only (or repeated), in that order.

        Args:
            samples: `(new_batch,)` indices.
        """
        chosen = type(self)(len(self._keys), len(samples), self.capacity, self.lengths.device)
        chosen.lengths = self.lengths[samples]
        chosen._keys = [None if k is None else k[samples] for k in self._keys]
        chosen._values = [None if v is None else v[samples] for v in self._values]
        return chosen

    def join(self, other: "KeyValueCache") -> None:
        """Take in the samples of another cache, behind these, layer by layer.

        Args:
            other: Of the same network; it is used up.
        """
        self.capacity = max(self.capacity, other.capacity)
        self.lengths = torch.cat([self.lengths, other.lengths])
        for mine, theirs in ((self._keys, other._keys), (self._values, other._values)):
            for layer, (first, second) in enumerate(zip(mine, theirs, strict=True)):
                if first is not None and second is not None:
                    mine[layer] = _joined(first, second)
                theirs[layer] = None


def _joined(first: Tensor, second: Tensor) -> Tensor:
    """Buffers `(batch, heads, slots, size)` behind each other, with as many slots as the larger."""
    slots = max(first.shape[2], second.shape[2])
    return torch.cat(
        [F.pad(buffer, (0, 0, 0, slots - buffer.shape[2])) for buffer in (first, second)]
    )


def round_up(number: int, multiple: int) -> int:
    """The smallest multiple that is not below a number."""
    return -(-number // multiple) * multiple
