"""The training forward of whole answers: all their blocks, in several versions, in one pass."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..layout import Layout
from ..protocols import FIXED_POINT, AnswerBlocks

if TYPE_CHECKING:
    from .network import Showo


def answer_logits(
    network: "Showo",
    batch: AnswerBlocks,
    versions: Mapping[str, Tensor],
    *,
    fixed_point: bool = False,
) -> dict[str, Tensor]:
    """Predict every token of every block from the tokens before it; see `TextModel.answer_logits`.

    A sequence holds the image, the question and the whole answer once. Behind it ride the versions
    of its blocks, each a branch of its own: it sees what precedes its block (image, question, and
    the answer up to there) and its own past, and is seen by nothing else, which gives what a
    sequence of its own for each would give. The fixed point needs no version: it is the answer
    itself.

    Args:
        network: Network.
        batch: Answers with their images, questions and blocks.
        versions: Names of versions, with the tokens `(blocks, block tokens)` of each.
        fixed_point: Whether to predict from the answer itself, too.
    """
    pairs = zip(batch.prompt_ids, batch.answer_ids, strict=True)
    # Token i is predicted at token i - 1, and nothing at the last.
    shared = network.understanding(batch.images, [[*p, *answer[:-1]] for p, answer in pairs])
    embeddings = network.embeddings_of(shared, batch.images)
    count, columns = shared.input_ids.shape
    device = shared.input_ids.device
    block_size = batch.fixed_point.shape[1]
    width = block_size - 1
    slot = batch.start // block_size  # (blocks,)
    slots = int(slot.max()) + 1
    # Where an answer's first token stands, and where each block does.
    fed = torch.tensor([len(answer) - 1 for answer in batch.answer_ids], device=device)
    first = (shared.lengths - fed)[:, None]
    begins = first + torch.arange(slots, device=device) * block_size  # (answers, slots)
    place = torch.arange(width, device=device)

    ids, layout = shared.input_ids, shared.layout
    if versions and width:
        shape = (len(versions), count, slots, width)
        riding = ids.new_full(shape, network.vocabulary.pad_id)
        for row, tokens in enumerate(versions.values()):
            riding[row, batch.answer, slot] = tokens[:, :-1]
        versions_ids = riding.transpose(0, 1).flatten(1)
        ids = torch.cat([ids, versions_ids], dim=1)
        if embeddings is not None:
            riding_embeddings = network.showo.model.embed_tokens(versions_ids)
            embeddings = torch.cat([embeddings, riding_embeddings], dim=1)
        is_block = torch.zeros(count, slots, dtype=torch.bool, device=device)
        is_block[batch.answer, slot] = True
        layout = _with_branches(layout, begins, is_block, width, len(versions))
    hidden = network.hidden_states(ids, layout.attention_mask, layout.position_ids, embeddings)

    before = begins[batch.answer, slot] - 1  # (blocks,)
    wanted: dict[str, Tensor] = {}
    for row, name in enumerate(versions):
        start = columns + (row * slots + slot) * width
        wanted[name] = torch.cat([before[:, None], start[:, None] + place], dim=1)
    if fixed_point:
        along = before[:, None] + torch.arange(block_size, device=device)
        wanted[FIXED_POINT] = along.clamp(max=columns - 1)
    rows = torch.stack(list(wanted.values()))  # (versions, blocks, block tokens)
    chosen = hidden[batch.answer[:, None].expand_as(rows[0]), rows]
    logits = network.logits(chosen, network.vocabulary.text_rows)
    return dict(zip(wanted, logits, strict=True))


def _with_branches(
    trunk: Layout, begins: Tensor, is_block: Tensor, width: int, versions: int
) -> Layout:
    """Put versions of blocks behind a layout, each a branch that forks where its block begins.

    Args:
        trunk: The layout of the shared tokens, with their padding.
        begins: `(answers, slots)`, the shared token at which each block begins.
        is_block: `(answers, slots)` bool; shorter answers have fewer blocks, the rest is padding.
        width: Tokens of a block's version.
        versions: Number of versions.
    """

    def behind(shared: Tensor, of_slots: Tensor) -> Tensor:
        riding = of_slots.repeat_interleave(width, dim=1).repeat(1, versions)
        return torch.cat([shared, riding], dim=1)

    assert trunk.padding is not None
    none = torch.zeros_like(trunk.block)
    unseen = torch.zeros_like(is_block)
    count, slots = begins.shape
    numbers = torch.arange(versions * slots, device=none.device) + 1
    return Layout(
        block=behind(trunk.block, torch.zeros_like(begins)),
        padding=behind(trunk.padding, ~is_block),
        branch=torch.cat([none, numbers.repeat_interleave(width).expand(count, -1)], dim=1),
        fork=behind(none, begins),
        visible=None if trunk.visible is None else behind(trunk.visible, unseen),
    )
