import torch
from hypothesis import given
from hypothesis import strategies as st

from showo_turbo.models.magvitv2.patches import find_distinct, join_patches, split_patches


def test_raster_order():
    image = torch.arange(16).reshape(1, 1, 4, 4)
    patches = split_patches(image, 2)
    assert patches[:, 0].tolist() == [
        [[0, 1], [4, 5]],
        [[2, 3], [6, 7]],
        [[8, 9], [12, 13]],
        [[10, 11], [14, 15]],
    ]


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_joining_undoes_splitting(batch, rows, columns, size):
    images = torch.randn(batch, 3, rows * size, columns * size)
    patches = split_patches(images, size)
    assert patches.shape == (batch * rows * columns, 3, size, size)
    assert torch.equal(join_patches(patches, (rows, columns)), images)


def test_distinct_patches():
    patches = torch.tensor([[2.0, 1.0], [0.0, 1.0], [2.0, 1.0]], requires_grad=True)
    distinct, place = find_distinct(patches)
    assert sorted(distinct.tolist()) == [[0, 1], [2, 1]]
    assert torch.equal(distinct[place], patches)
    assert not distinct.requires_grad
