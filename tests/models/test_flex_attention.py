"""FlexAttention sees what the mask of all pairs sees; its gradients are tested on GPUs."""

from itertools import product

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import BlockMask, create_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention
from transformers.integrations import flex_attention as integration

from showo_turbo.models.layout import Layout

from ..tiny import tiny_showo


@st.composite
def layouts(draw):
    count, tokens = draw(st.integers(1, 3)), draw(st.integers(1, 12))

    def table(values):
        rows = st.lists(values, min_size=tokens, max_size=tokens)
        return torch.tensor(draw(st.lists(rows, min_size=count, max_size=count)))

    branch, fork = table(st.integers(0, 2)), table(st.integers(0, tokens))
    is_branched = draw(st.booleans())
    return Layout(
        table(st.integers(0, 2)),
        draw(st.none() | st.just(table(st.booleans()))),
        branch if is_branched else None,
        fork if is_branched else None,
        draw(st.none() | st.just(table(st.booleans()))),
        draw(st.booleans()),
    )


def naive_mask(layout):
    """The rules of `Layout`, pair by pair."""
    count, tokens = layout.block.shape
    mask = torch.zeros(count, 1, tokens, tokens, dtype=torch.bool)
    for b, query, key in product(range(count), range(tokens), range(tokens)):
        block = layout.block[b]
        seen = key <= query or (block[query] == block[key] and block[query] > 0)
        seen = seen or (layout.visible is not None and layout.visible[b, key])
        if layout.branch is not None:
            own, other = layout.branch[b, query], layout.branch[b, key]
            trunk = own > 0 and other == 0 and key < layout.fork[b, query]
            seen = (seen and own == other) or trunk
        if layout.padding is not None and not layout.padding_visible:
            seen = seen and not (layout.padding[b, key] and not layout.padding[b, query])
        mask[b, 0, query, key] = bool(seen)
    return mask


@settings(max_examples=30, deadline=None)
@given(layouts())
def test_both_masks_follow_the_rules(layout):
    block_mask, expected = layout.block_mask, naive_mask(layout)
    count, tokens = layout.block.shape
    dense = create_mask(block_mask.mask_mod, count, None, tokens, tokens, device="cpu")
    assert torch.equal(dense, expected)
    assert torch.equal(layout.attention_mask, expected)


def test_several_tiles_attend_as_the_whole_mask_does():
    generator = torch.Generator().manual_seed(0)
    tokens = 300
    block = torch.zeros(2, tokens, dtype=torch.long)
    block[:, 40:200], block[:, 220:260] = 1, 2
    padding = torch.arange(tokens) < torch.tensor([[0], [150]])
    layout = Layout(block, padding)
    query, key, value = torch.randn(3, 2, 2, tokens, 8, generator=generator, dtype=torch.float64)
    found = flex_attention(query, key, value, block_mask=layout.block_mask)
    expected = scaled_dot_product_attention(query, key, value, attn_mask=layout.attention_mask)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert layout.block_mask.sparsity() > 0  # some tile is left out


def test_whole_sequences_are_the_same(monkeypatch):
    network = tiny_showo().double()
    sequences = network.sequences.language([[1, 2, 3, 4], [5, 6]], 8, network.device)
    expected = network.hidden_states_of(sequences)
    monkeypatch.setattr(type(network), "mask_of", lambda _, layout: layout.block_mask)
    # Uncompiled, so that no compiler is needed.
    monkeypatch.setattr(integration, "is_torchdynamo_compiling", lambda: True)
    with torch.no_grad():  # without gradients it runs on CPUs, too
        found = network.hidden_states_of(sequences)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-9, atol=1e-9)


def test_only_training_takes_it():
    network, layout = tiny_showo(), Layout(torch.zeros(1, 3, dtype=torch.long))
    assert isinstance(network.mask_of(layout), torch.Tensor)
    network.flex_attention_enable()
    assert isinstance(network.mask_of(layout), BlockMask)
    with torch.no_grad():
        assert isinstance(network.mask_of(layout), torch.Tensor)
