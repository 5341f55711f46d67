from inspect import signature

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PhiModel

from showo_turbo.models.showo.attention import Packing
from showo_turbo.models.showo.cache import BLOCK, KeyValueCache
from showo_turbo.models.showo.transformer import CACHE_ARGUMENT, cache_argument

from ..tiny import tiny_showo

MODEL = tiny_showo(hidden_size=16, layers=1)
CPU = torch.device("cpu")


def written(cache, values):
    """Write one-layer keys `(batch, 1, new, 1)`; give what the layer attends over."""
    tensor = torch.tensor(values, dtype=torch.float32)[:, None, :, None]
    cache.append(tensor.shape[2])
    keys, same = cache.update(tensor, -tensor, 0)
    assert torch.equal(keys, -same)
    width = int(cache.lengths.max()) + tensor.shape[2]
    assert keys.shape[2] % BLOCK == 0
    return keys[:, 0, :width, 0].tolist()


def test_either_name_that_transformers_gives_it():
    class Newer(torch.nn.Module):
        def forward(self, inputs_embeds=None, cache=None, **kwargs):
            """As from 5.24 on; the old name would go, with a warning, into the rest."""

    class Older(torch.nn.Module):
        def forward(self, inputs_embeds=None, past_key_values=None, **kwargs):
            """As before."""

    assert [cache_argument(kind) for kind in (Newer, Older)] == ["cache", "past_key_values"]
    assert CACHE_ARGUMENT in signature(PhiModel.forward).parameters


def test_each_sample_continues_at_its_own_length():
    cache = KeyValueCache(1, 2, 6, CPU)
    assert written(cache, [[1, 2, 3], [4, 5, 6]]) == [[1, 2, 3], [4, 5, 6]]
    cache.lengths = torch.tensor([3, 1])
    slots, extent = cache.append(2)
    assert slots.tolist() == [[3, 4], [1, 2]]
    assert extent == BLOCK
    assert written(cache, [[7, 8], [9, 10]]) == [[1, 2, 3, 7, 8], [4, 9, 10, 0, 0]]
    assert cache.lengths.tolist() == [3, 1], "the caller decides what stays"
    assert cache.get_seq_length() == 3


def test_forgotten_tokens_are_overwritten():
    cache = KeyValueCache(1, 1, 4, CPU)
    written(cache, [[1, 2, 3]])
    cache.lengths = torch.tensor([1])
    assert written(cache, [[9]]) == [[1, 9]]


def test_select_repeats_and_leaves_out():
    cache = KeyValueCache(1, 3, 3, CPU)
    written(cache, [[1], [2], [3]])
    cache.lengths = torch.tensor([1, 1, 1])
    chosen = cache.select(torch.tensor([2, 0, 2]))
    assert written(chosen, [[7], [8], [9]]) == [[3, 7], [1, 8], [3, 9]]
    assert written(cache, [[4], [5], [6]]) == [[1, 4], [2, 5], [3, 6]], "the original is untouched"


def test_retained_samples_stay_in_their_buffers():
    cache = KeyValueCache(1, 4, 3, CPU)
    written(cache, [[1], [2], [3], [4]])
    cache.lengths = torch.tensor([1, 1, 1, 1])
    buffer = cache._keys[0]
    kept = cache.retain(torch.tensor([0, 3]))
    assert kept._keys[0].data_ptr() == buffer.data_ptr(), "the last one fills the gap"
    assert written(kept, [[7], [8]]) == [[1, 7], [4, 8]]
    kept.lengths = torch.tensor([2, 1])
    turned = kept.retain(torch.tensor([1, 0]))
    assert turned.lengths.tolist() == [1, 2]
    assert written(turned, [[5], [6]]) == [[4, 5, 0], [1, 7, 6]]


def test_packed_tokens_go_to_their_own_samples():
    cache = KeyValueCache(1, 2, 6, CPU)
    written(cache, [[1, 2], [3, 4]])
    cache.lengths = torch.tensor([2, 1])
    slots, extent = cache.append_packed(Packing.of([1, 3], CPU))
    assert (slots.tolist(), extent) == ([[2, 1, 2, 3]], BLOCK)
    new = torch.tensor([5.0, 6, 7, 8])[None, None, :, None]
    keys, values = cache.update(new, -new, 0)
    assert keys[:, 0, :4, 0].tolist() == [[1, 2, 5, 0], [3, 6, 7, 8]]
    assert torch.equal(keys, -values)
    with pytest.raises(ValueError, match="7 tokens do not fit a cache of 6 slots"):
        cache.append_packed(Packing.of([5, 1], CPU))


@torch.no_grad()
def test_rows_of_different_lengths_as_each_by_itself():
    network = tiny_showo(layers=2).double()
    generator = torch.Generator().manual_seed(3)
    prefixes = [torch.randint(0, 24, (n,), generator=generator) for n in (4, 1, 6)]
    rows = [torch.randint(0, 24, (n,), generator=generator).tolist() for n in (1, 5, 3)]
    cache = network.new_cache(3, 12)
    filled = torch.zeros(3, 6, dtype=torch.long)
    for row, prefix in enumerate(prefixes):
        filled[row, : len(prefix)] = prefix
    network.append(filled, cache)
    cache.lengths = torch.tensor([4, 1, 6])
    found = network.append_rows(rows, cache).split([1, 5, 3])
    for prefix, row, hidden in zip(prefixes, rows, found, strict=True):
        ids = torch.tensor([[*prefix.tolist(), *row]])
        causal = torch.ones(ids.shape[1], ids.shape[1]).tril().bool()[None, None]
        expected = network.hidden_states(ids, causal)[0, -len(row) :]
        torch.testing.assert_close(hidden, expected, rtol=1e-9, atol=1e-9)


def test_select_before_anything_is_written():
    chosen = KeyValueCache(2, 3, 3, CPU).select(torch.tensor([1]))
    assert chosen.lengths.tolist() == [0]
    assert written(KeyValueCache(1, 3, 3, CPU).select(torch.tensor([1])), [[5]]) == [[5]]


def test_capacity():
    cache = KeyValueCache(1, 1, 2, CPU)
    with pytest.raises(ValueError, match="3 tokens do not fit a cache of 2 slots"):
        cache.append(3)


@settings(max_examples=25)
@given(
    data=st.data(),
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=3),
    seed=st.integers(0, 2**16),
)
def test_in_pieces_as_in_one(data, lengths, seed):
    """Causal text, fed in pieces with wrong guesses in between, as in one whole forward."""
    generator = torch.Generator().manual_seed(seed)
    batch, longest = len(lengths), max(lengths)
    ids = torch.randint(0, 30, (batch, longest), generator=generator)
    causal = torch.ones(longest, longest).tril().bool()[None, None]
    with torch.no_grad():
        whole = MODEL.hidden_states(ids, causal)
        cache = MODEL.new_cache(batch, longest + 3)
        seen = torch.zeros(batch, dtype=torch.long)
        while (seen < torch.tensor(lengths)).any():
            width = data.draw(st.integers(1, 3))
            cache.lengths = seen
            wanted = torch.randint(0, 30, (batch, width), generator=generator)
            true = torch.zeros(batch, dtype=torch.long)
            for sample, length in enumerate(lengths):
                left = length - int(seen[sample])
                true[sample] = min(width, left, data.draw(st.integers(1, 3)))
                begin, count = int(seen[sample]), int(true[sample])
                wanted[sample, :count] = ids[sample, begin : begin + count]
            hidden = MODEL.append(wanted, cache)
            for sample in range(batch):
                begin, count = int(seen[sample]), int(true[sample])
                torch.testing.assert_close(
                    hidden[sample, :count],
                    whole[sample, begin : begin + count],
                    rtol=1e-4,
                    atol=1e-4,
                )
            seen = seen + true


class AsTheyCome(KeyValueCache):
    """Keeps keys and values in the type that the layers give them, as attention is free to cast."""

    def _write(self, buffers, new, layer):
        if buffers[layer] is None:
            batch, heads, _, size = new.shape
            buffers[layer] = new.new_zeros(batch, heads, -(-self.capacity // BLOCK) * BLOCK, size)
        buffers[layer].scatter_(2, self._slots[:, None, :, None].expand_as(new), new)
        return buffers[layer][:, :, : self._extent]


@torch.no_grad()
def test_under_autocast_keys_are_kept_as_attention_reads_them():
    network = tiny_showo(layers=2)
    ids = torch.randint(0, 24, (3, 12), generator=torch.Generator().manual_seed(0))
    found = []
    for kind in (KeyValueCache, AsTheyCome):
        cache = kind(2, 3, 12, CPU)
        with torch.autocast("cpu", torch.bfloat16):
            network.append(ids[:, :5], cache)
            cache.lengths = torch.tensor([5, 3, 4])
            found.append(network.append(ids[:, 5:], cache))
        kept = {str(buffer.dtype) for buffer in (*cache._keys, *cache._values)}
        assert (kept == {"torch.bfloat16"}) is (kind is KeyValueCache)
    assert torch.equal(*found)
    exact = KeyValueCache(2, 3, 12, CPU)
    network.append(ids[:, :5], exact)
    assert {buffer.dtype for buffer in (*exact._keys, *exact._values)} == {torch.float32}
