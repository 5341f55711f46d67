"""A key-value cache in which every sample has its own length."""

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autocast import type_of_use
from .attention import Packing

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
        self._packing: Packing | None = None

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
        self._reach(int(self.lengths.max()) + new_tokens)
        offsets = torch.arange(new_tokens, device=self.lengths.device)
        self._slots, self._packing = self.lengths[:, None] + offsets, None
        return self._slots, self._extent

    def append_packed(self, packing: Packing) -> tuple[Tensor, int]:
        """Announce a forward in which samples append different numbers of tokens.

        Args:
            packing: Of the new tokens; its rows are the samples.

        Returns:
            Their slots `(1, new tokens)` and the number of key slots, see `append`.

        Raises:
            ValueError: If the capacity is exceeded.
        """
        slots = self.lengths[packing.row] + packing.place
        self._reach(int(slots.max()) + 1)
        self._slots, self._packing = slots[None], packing
        return self._slots, self._extent

    def _reach(self, needed: int) -> None:
        if needed > self.capacity:
            raise ValueError(f"{needed} tokens do not fit a cache of {self.capacity} slots")
        self._extent = round_up(needed, BLOCK)

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Store a layer's new keys and values; give all that the layer attends over.

        Args:
            keys: `(batch, heads, new_tokens, head_size)`, or `(1, heads, new tokens, head_size)` of
                packed ones.
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
        new = new.to(buffer.dtype)
        if self._packing is None:
            index = self._slots[:, None, :, None].expand_as(new)
            buffer.scatter_(2, index, new)
        else:
            buffer[self._packing.row, :, self._slots[0]] = new[0].transpose(0, 1)
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

    def retain(self, samples: Tensor) -> Self:
        """Go on with some of the samples only, in that order, in the same buffers where possible.

        Samples that take the place of one that leaves are moved, and no others, if each sample
        stays where it is or comes from behind those that stay. Otherwise see `select`. This cache
        must not be used any longer.

        Args:
            samples: `(new_batch,)` indices.
        """
        count = len(samples)
        places = torch.arange(count, device=samples.device)
        moved = samples != places
        if not bool((~moved | (samples >= count)).all()):
            return self.select(samples)
        sources, targets = samples[moved], places[moved]
        self.lengths = self.lengths[samples]
        for buffers in (self._keys, self._values):
            for layer, buffer in enumerate(buffers):
                if buffer is not None:
                    buffer[targets] = buffer[sources]
                    buffers[layer] = buffer[:count]
        return self

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
