"""Positions and attention masks: the one place that decides which token sees which."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:  # it takes most of a second to import
    from torch.nn.attention.flex_attention import BlockMask


@dataclass(frozen=True)
class Layout:
    """One description per token of a batch of sequences, each tensor `(batch, tokens)`.

    A token sees itself and everything before it. Beyond that:

    - tokens of one *block* see each other in both directions: the tokens of an image, or of a
      prompt that is bidirectional. Blocks do not see ahead into each other, so several images in
      one sequence are causal among themselves;
    - a *branch* is a version of what follows a place of the trunk. Its tokens see the trunk before
      that place, the *fork*, and their own branch; nothing else sees them;
    - *visible* tokens are seen by earlier tokens too, as continuous embeddings of an image are;
    - *padding* is not seen by real tokens, unless it is visible padding, which then is a token like
      any other. Padding itself sees padding, so that no row of a softmax is empty.

    Args:
        block: 0 for a causal token, n > 0 for a token of the bidirectional block n.
        padding: `True` at padding; none by default.
        branch: 0 for the trunk, n > 0 for branch n; no branches by default.
        fork: For tokens of a branch, the column of the trunk at which it forks.
        visible: `True` at tokens that earlier ones see too; none by default.
        padding_visible: Whether padding is attended to and counts in the positions.

    Source: generalizes the omni-attention of Show-o (arXiv 2408.12528), section 3.2.
    """

    block: Tensor
    padding: Tensor | None = None
    branch: Tensor | None = None
    fork: Tensor | None = None
    visible: Tensor | None = None
    padding_visible: bool = False

    def sees(self, sample: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """Whether a token attends to another one of its sequence: the mask, place by place.

        Args:
            sample: Which sequence of the batch; long, as all places.
            query: Column of the token.
            key: Column of the other one. The three are of shapes that broadcast.
        """
        block = self.block[sample, query]
        seen = (query >= key) | ((block == self.block[sample, key]) & (block > 0))
        if self.visible is not None:
            seen = seen | self.visible[sample, key]
        if self.branch is not None:
            assert self.fork is not None  # branches fork somewhere
            branch, other = self.branch[sample, query], self.branch[sample, key]
            before_fork = (key < self.fork[sample, query]) & (branch > 0) & (other == 0)
            seen = seen & (branch == other) | before_fork
        if self.padding is not None and not self.padding_visible:
            seen = seen & ~(self.padding[sample, key] & ~self.padding[sample, query])
        return seen

    @property
    def attention_mask(self) -> Tensor:
        """`(batch, 1, tokens, tokens)` bool, `True` where a query attends to a key."""
        samples, columns = (torch.arange(n, device=self.block.device) for n in self.block.shape)
        return self.sees(samples[:, None, None, None], columns[:, None], columns)

    @property
    def block_mask(self) -> "BlockMask":
        """The same mask for FlexAttention, which leaves out what no token of a tile sees."""
        from torch.nn.attention.flex_attention import create_block_mask

        count, tokens = self.block.shape

        def sees(sample: Tensor, _: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return self.sees(sample, query, key)

        device = self.block.device
        return create_block_mask(sees, count, None, tokens, tokens, device=str(device))

    @property
    def position_ids(self) -> Tensor:
        """`(batch, tokens)`, counted over real tokens, so that left padding shifts nothing.

        A branch counts on from the position at which it forks.
        """
        trunk = torch.ones_like(self.block, dtype=torch.bool)
        if self.branch is not None:
            trunk = self.branch == 0
        counted = trunk
        if self.padding is not None and not self.padding_visible:
            counted = trunk & ~self.padding
        positions = (counted.cumsum(dim=1) - 1).clamp(min=0)
        if self.branch is None:
            return positions
        assert self.fork is not None  # branches fork somewhere
        leading = ((~counted).cumprod(dim=1)).sum(dim=1, keepdim=True)
        earlier = self.branch[:, :, None] == self.branch[:, None, :]
        place = earlier.tril(-1).sum(dim=-1)
        return torch.where(trunk, positions, self.fork - leading + place)


def cached_attention_mask(
    lengths: Tensor, new_tokens: int, extent: int, *, bidirectional: bool
) -> Tensor:
    """Mask for tokens appended to a cache, each sample at the end of its own prefix.

    Key slots `0 .. lengths[b] - 1` hold sample b's prefix and the next `new_tokens` slots the
    appended tokens; later slots are stale and never seen.

    Args:
        lengths: `(batch,)` prefix lengths.
        new_tokens: Number of appended tokens, the queries.
        extent: Number of key slots.
        bidirectional: Whether the appended tokens see each other both ways (an image) or only
            backwards (text).

    Returns:
        `(batch, 1, new_tokens, extent)` bool.
    """
    slots = torch.arange(extent, device=lengths.device)
    if bidirectional:
        visible = slots < lengths[:, None] + new_tokens
        return visible[:, None, None, :].expand(-1, 1, new_tokens, -1)
    last_visible = lengths[:, None] + torch.arange(new_tokens, device=lengths.device)
    return (slots <= last_visible[:, :, None])[:, None]


def padded_left(
    rows: Sequence[Sequence[int]], pad_id: int, width: int | None, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Ids of rows with padding before them, and where it is.

    Args:
        rows: Ids of each, at most `width` of them.
        pad_id: Stands for padding.
        width: Length of the padded rows; by default that of the longest.
        device: Where the tensors go.

    Returns:
        `(rows, width)` ids, and the same shape in booleans, None if there is no padding.
    """
    lengths = [len(row) for row in rows]
    width = max(lengths) if width is None else width
    padded = [[*[pad_id] * (width - len(row)), *row] for row in rows]
    ids = torch.tensor(padded, device=device)
    if min(lengths) == width:
        return ids, None
    starts = torch.tensor([[width - length] for length in lengths], device=device)
    return ids, torch.arange(width, device=device) < starts
