"""Compiled decoding: a few fixed shapes, each compiled once and, on a GPU, replayed as a graph."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import UserError
from ..layout import cached_attention_mask
from .cache import BLOCK, KeyValueCache, round_up

_CAPACITY_STEP = 128
_SHAPES = 64
"""Shapes that are compiled at most; PyTorch gives up after 8 otherwise."""

Run = Callable[[Tensor, Tensor, Tensor, KeyValueCache], Tensor]
"""The transformer over appended tokens: ids, mask, positions and cache give hidden states."""


@dataclass(frozen=True)
class CacheSizes:
    """What the buffers of a cache are made of.

    Attributes:
        layers: Number of transformer layers.
        heads: Attention heads.
        head_size: Width of a head.
        dtype: Of keys and values.
        device: Where they are.
    """

    layers: int
    heads: int
    head_size: int
    dtype: torch.dtype
    device: torch.device


class StaticKeyValueCache(KeyValueCache):
    """A cache whose buffers stay where they are, with more rows than samples if need be.

    Args:
        sizes: What the buffers are made of.
        rows: Sequences that the buffers hold.
        capacity: Slots a sequence.
        smaller: Gives a cache of the same capacity for fewer samples.
    """

    def __init__(
        self,
        sizes: CacheSizes,
        rows: int,
        capacity: int,
        smaller: Callable[[int], "StaticKeyValueCache"],
    ) -> None:
        super().__init__(sizes.layers, rows, capacity, sizes.device)
        self.rows = rows
        self.filled = False
        self._smaller = smaller
        shape = (rows, sizes.heads, capacity, sizes.head_size)
        for buffers in (self._keys, self._values):
            for layer in range(sizes.layers):
                buffer = torch.zeros(shape, dtype=sizes.dtype, device=sizes.device)
                # CUDA graphs write to fixed addresses only.
                torch._dynamo.mark_static_address(buffer)
                buffers[layer] = buffer

    def begin(self, batch: int) -> "StaticKeyValueCache":
        """Forget everything; `batch` samples follow, at most `rows`."""
        self.lengths = torch.zeros(batch, dtype=torch.long, device=self.lengths.device)
        self.filled = False
        return self

    def append_everywhere(self, new_tokens: int) -> Tensor:
        """Announce a forward over all rows and all slots; give the slots of the new tokens.

        Raises:
            ValueError: If the capacity is exceeded.
        """
        lengths = F.pad(self.lengths, (0, self.rows - len(self.lengths)))
        offsets = torch.arange(new_tokens, device=lengths.device)
        self._slots, self._extent = lengths[:, None] + offsets, self.capacity
        return self._slots

    def _write(self, buffers: list[Tensor | None], new: Tensor, layer: int) -> Tensor:
        buffer = buffers[layer]
        assert buffer is not None  # all are made at the beginning
        buffer = buffer[: new.shape[0]]
        buffer.scatter_(2, self._slots[:, None, :, None].expand_as(new), new)
        return buffer[:, :, : self._extent]

    def select(self, samples: Tensor) -> "StaticKeyValueCache":
        """The given samples only; they move within this cache, or to a smaller one."""
        chosen = self._smaller(len(samples))
        lengths = self.lengths[samples]
        for mine, theirs in ((self._keys, chosen._keys), (self._values, chosen._values)):
            for source, target in zip(mine, theirs, strict=True):
                assert source is not None and target is not None
                target[: len(samples)] = source[samples]
        chosen.lengths, chosen.filled = lengths, True
        return chosen

    def retain(self, samples: Tensor) -> "StaticKeyValueCache":
        """The given samples only; see `select`."""
        return self.select(samples)

    def join(self, other: KeyValueCache) -> None:
        """Not possible: the buffers stay where they are.

        Raises:
            UserError: Always.
        """
        raise UserError(
            "compiled decoding goes through one batch at a time, but others are to take the places "
            "of samples that are done; leave compile out"
        )


class CompiledDecoding:
    """Runs appended tokens through compiled code, padded to shapes that recur.

    Rows are filled up to a power of two, text to one token or to a multiple of 16, the cache to a
    multiple of 128 slots. The first forward of a cache, the prompt's, has another length every
    time and runs uncompiled. Caches of the same shape share their buffers, so only the newest one
    may be used: one batch is decoded at a time.

    Args:
        run: The transformer.
        sizes: What the caches' buffers are made of.
        options: For `torch.compile`; by default CUDA graphs are used on a GPU.
    """

    def __init__(self, run: Run, sizes: CacheSizes, options: dict[str, Any] | None = None) -> None:
        self.sizes = sizes
        if options is None:
            options = {"mode": "reduce-overhead" if sizes.device.type == "cuda" else "default"}
        torch._dynamo.config.recompile_limit = max(_SHAPES, torch._dynamo.config.recompile_limit)
        self._compiled = torch.compile(run, dynamic=False, **options)
        self._caches: dict[tuple[int, int], StaticKeyValueCache] = {}

    def new_cache(self, batch: int, capacity: int) -> StaticKeyValueCache:
        """An empty cache for `batch` samples of at most `capacity` tokens."""
        capacity = round_up(capacity + BLOCK, _CAPACITY_STEP)
        return self._cache(batch, capacity).begin(batch)

    def append(self, input_ids: Tensor, cache: StaticKeyValueCache, bidirectional: bool) -> Tensor:
        """Run the transformer over tokens that follow what the cache holds; see `Showo.append`."""
        batch, tokens = input_ids.shape
        # An image is as long every time.
        width = tokens if bidirectional or tokens == 1 else round_up(tokens, BLOCK)
        ids = F.pad(input_ids, (0, width - tokens, 0, cache.rows - batch))
        slots = cache.append_everywhere(width)
        mask = cached_attention_mask(
            slots[:, 0], width, cache.capacity, bidirectional=bidirectional
        )
        torch.compiler.cudagraph_mark_step_begin()
        return self._compiled(ids, mask.contiguous(), slots, cache)[:batch, :tokens]

    def _cache(self, batch: int, capacity: int) -> StaticKeyValueCache:
        rows = 1 << (batch - 1).bit_length()
        key = (rows, capacity)
        if key not in self._caches:
            self._caches[key] = StaticKeyValueCache(
                self.sizes, rows, capacity, lambda fewer: self._cache(fewer, capacity)
            )
        return self._caches[key]
