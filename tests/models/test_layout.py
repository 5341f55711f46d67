import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from showo_turbo.models.layout import Layout, cached_attention_mask


def mask_of(block, **flags):
    tensors = {name: torch.tensor([values]) for name, values in flags.items()}
    return Layout(torch.tensor([block]), **tensors).attention_mask[0, 0].int().tolist()


def test_an_image_between_texts():
    #              text  soi code eoi  text
    assert mask_of([0, 1, 1, 1, 0]) == [
        [1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1],
    ]


def test_two_images_do_not_see_ahead_into_each_other():
    assert mask_of([1, 1, 2, 2]) == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]


def test_nothing_real_sees_padding():
    block = torch.tensor([[0, 0, 1, 1], [1, 1, 0, 0]])
    padding = torch.tensor([[True, False, False, False], [False, False, False, True]])
    mask = Layout(block, padding).attention_mask
    assert mask.shape == (2, 1, 4, 4)
    assert mask[0, 0].int().tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1]]
    assert mask[1, 0].int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    visible = Layout(block, padding, padding_visible=True)
    assert torch.equal(visible.attention_mask, Layout(block).attention_mask)
    assert visible.position_ids.tolist() == [[0, 1, 2, 3]] * 2


def test_two_versions_of_what_follows_the_second_token():
    layout = Layout(
        torch.zeros(1, 7, dtype=torch.long),
        branch=torch.tensor([[0, 0, 0, 1, 1, 2, 2]]),
        fork=torch.tensor([[0, 0, 0, 2, 2, 2, 2]]),
    )
    assert layout.attention_mask[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 0, 1, 0, 0, 0],
        [1, 1, 0, 1, 1, 0, 0],
        [1, 1, 0, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 1, 1],
    ]
    assert layout.position_ids.tolist() == [[0, 1, 2, 2, 3, 2, 3]]


def test_embeddings_that_earlier_tokens_see():
    visible = [False, True, True, False]
    assert mask_of([0, 0, 0, 0], visible=visible) == [
        [1, 1, 1, 0],
        [1, 1, 1, 0],
        [1, 1, 1, 0],
        [1, 1, 1, 1],
    ]


@st.composite
def layouts(draw):
    """A trunk with padding at both ends, and branches behind it, each token described in full."""
    left, real, right = (draw(st.integers(0, 3)), draw(st.integers(1, 6)), draw(st.integers(0, 3)))
    trunk = left + real + right
    tokens = []
    for column in range(trunk):
        padding = not left <= column < left + real
        tokens.append({"branch": 0, "fork": 0, "padding": padding})
    for branch in range(1, draw(st.integers(0, 3)) + 1):
        fork = draw(st.integers(left, left + real))
        padding = draw(st.booleans())
        for _ in range(draw(st.integers(1, 3))):
            tokens.append({"branch": branch, "fork": fork, "padding": padding})
    for token in tokens:
        token["block"] = draw(st.integers(0, 2))
        token["visible"] = draw(st.booleans())
    return tokens


def sees(tokens, query, key, padding_visible):
    """The rule, a token at a time."""
    asks, asked = tokens[query], tokens[key]
    if asked["padding"] and not asks["padding"] and not padding_visible:
        return False
    if asks["branch"] and not asked["branch"]:
        return key < asks["fork"]
    if asks["branch"] != asked["branch"]:
        return False
    return key <= query or asked["visible"] or asks["block"] == asked["block"] > 0


def positions(tokens, padding_visible):
    """Where each token stands, by walking along; padding behind real tokens stays where it is."""
    found, at, leading, seen, starts = [], 0, 0, False, {}
    for token in tokens:
        counts = padding_visible or not token["padding"]
        if token["branch"]:
            place = starts.setdefault(token["branch"], token["fork"] - leading)
            found.append(place)
            starts[token["branch"]] += 1
        elif counts:
            found.append(at)
            at, seen = at + 1, True
        else:
            found.append(max(at - 1, 0))
            leading += not seen
    return found


@settings(max_examples=150)
@given(tokens=layouts(), padding_visible=st.booleans())
def test_the_rules_a_token_at_a_time(tokens, padding_visible):
    columns = {
        name: torch.tensor([[token[name] for token in tokens]])
        for name in ("block", "branch", "fork", "visible", "padding")
    }
    layout = Layout(**columns, padding_visible=padding_visible)
    mask = layout.attention_mask[0, 0]
    for query in range(len(tokens)):
        # Every row sees itself at least: a softmax over nothing would be NaN.
        assert mask[query, query]
        for key in range(len(tokens)):
            assert bool(mask[query, key]) == sees(tokens, query, key, padding_visible)
    assert layout.position_ids[0].tolist() == positions(tokens, padding_visible)


@given(st.data(), st.lists(st.integers(0, 2), min_size=1, max_size=9))
def test_what_is_left_out_is_not_there(data, block):
    padding = data.draw(st.lists(st.booleans(), min_size=len(block), max_size=len(block)))
    nowhere = torch.zeros(1, len(block), dtype=torch.long)
    short = Layout(torch.tensor([block]), torch.tensor([padding]))
    whole = Layout(short.block, short.padding, nowhere, nowhere, nowhere.bool())
    assert torch.equal(short.attention_mask, whole.attention_mask)
    assert torch.equal(short.position_ids, whole.position_ids)


@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4), new=st.integers(1, 5))
@pytest.mark.parametrize("bidirectional", [False, True])
def test_cached_rows_are_those_of_the_whole_mask(bidirectional, lengths, new):
    extent = max(lengths) + new
    cached = cached_attention_mask(torch.tensor(lengths), new, extent, bidirectional=bidirectional)
    assert cached.shape == (len(lengths), 1, new, extent)
    for sample, length in enumerate(lengths):
        block = torch.zeros(1, length + new, dtype=torch.long)
        block[:, length:] = bidirectional
        whole = Layout(block).attention_mask[0, 0, length:]
        assert torch.equal(cached[sample, 0, :, : length + new], whole)
        assert not cached[sample, 0, :, length + new :].any(), "stale slots must stay unseen"
