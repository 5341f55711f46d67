"""FlexAttention sees what the mask of all pairs sees; its gradients are tested on GPUs."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import BlockMask, create_mask
from transformers.integrations import flex_attention

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


@settings(max_examples=30, deadline=None)
@given(layouts())
def test_both_masks_are_one(layout):
    block_mask = layout.block_mask
    count, tokens = layout.block.shape
    dense = create_mask(block_mask.mask_mod, count, None, tokens, tokens, device="cpu")
    assert torch.equal(dense, layout.attention_mask)
    assert block_mask.shape == (count, 1, tokens, tokens)


def test_whole_sequences_are_the_same(monkeypatch):
    network = tiny_showo().double()
    sequences = network.sequences.language([[1, 2, 3, 4], [5, 6]], 8, network.device)
    expected = network.hidden_states_of(sequences)
    monkeypatch.setattr(type(network), "mask_of", lambda _, layout: layout.block_mask)
    # Uncompiled, so that no compiler is needed.
    monkeypatch.setattr(flex_attention, "is_torchdynamo_compiling", lambda: True)
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
