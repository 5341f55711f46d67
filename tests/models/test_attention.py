import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from showo_turbo.models.attention import cached_attention_mask, omni_attention_mask

flags = st.lists(st.booleans(), min_size=1, max_size=9)


def test_an_image_between_texts():
    #                               text   soi   code  eoi   text
    image = torch.tensor([[False, True, True, True, False]])
    assert omni_attention_mask(image)[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1],
    ]


def test_nothing_real_sees_padding():
    image = torch.tensor([[False, False, True, True], [True, True, False, False]])
    padding = torch.tensor([[True, False, False, False], [False, False, False, True]])
    mask = omni_attention_mask(image, padding)
    assert mask.shape == (2, 1, 4, 4)
    assert mask[0, 0].int().tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1]]
    assert mask[1, 0].int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]


@given(st.data(), flags)
def test_rules(data, image):
    count = len(image)
    padding = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    mask = omni_attention_mask(torch.tensor([image]), torch.tensor([padding]))[0, 0]
    for query in range(count):
        # Every row sees itself at least: a softmax over nothing would be NaN.
        assert mask[query, query]
        for key in range(count):
            allowed = key <= query or (image[key] and image[query])
            allowed = allowed and not (padding[key] and not padding[query])
            assert bool(mask[query, key]) == allowed


@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4), new=st.integers(1, 5))
@pytest.mark.parametrize("bidirectional", [False, True])
def test_cached_rows_are_those_of_the_whole_mask(bidirectional, lengths, new):
    extent = max(lengths) + new
    cached = cached_attention_mask(torch.tensor(lengths), new, extent, bidirectional=bidirectional)
    assert cached.shape == (len(lengths), 1, new, extent)
    for sample, length in enumerate(lengths):
        inside = torch.zeros(1, length + new, dtype=torch.bool)
        inside[:, length:] = bidirectional
        whole = omni_attention_mask(inside)[0, 0, length:]
        assert torch.equal(cached[sample, 0, :, : length + new], whole)
        assert not cached[sample, 0, :, length + new :].any(), "stale slots must stay unseen"
