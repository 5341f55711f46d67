"""The training forward of whole answers: all their blocks, in several versions, in one pass."""

from collections.abc import Mapping
from types import MappingProxyType
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
    chains: Mapping[str, Tensor] = MappingProxyType({}),
    fixed_point: bool = False,
) -> dict[str, Tensor]:
    """Predict every token of every block from the tokens before it; see `TextModel.answer_logits`.

    A sequence holds the image, the question and the whole answer once. Behind it ride the versions
    of its blocks, each a branch of its own: it sees what precedes its block (image, question, and
    the answer up to there) and its own past, and is seen by nothing else, which gives what a
    sequence of its own for each would give. The blocks of a chain are one branch, which sees image
    and question. The fixed point needs no version: it is the answer itself.

    Args:
        network: Network.
        batch: Answers with their images, questions and blocks.
        versions: Names of versions, with the tokens `(blocks, block tokens)` of each.
        chains: Likewise, of versions whose blocks follow each other.
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
    before = begins[batch.answer, slot] - 1  # (blocks,)

    is_block = torch.zeros(count, slots, dtype=torch.bool, device=device)
    is_block[batch.answer, slot] = True
    riders = _Riders(is_block, begins, network.vocabulary.pad_id)
    wanted: dict[str, Tensor] = {}
    for name, tokens in versions.items():
        start = columns + riders.columns + slot * width
        riders.add_versions(_by_slot(tokens[:, :-1], batch, slot, riders))
        wanted[name] = torch.cat([before[:, None], start[:, None] + place], dim=1)
    for name, tokens in chains.items():
        start = columns + riders.columns + slot * block_size - 1
        riders.add_chain(_by_slot(tokens, batch, slot, riders))
        along = start[:, None] + torch.arange(block_size, device=device)
        along[:, 0] = torch.where(slot == 0, before, along[:, 0])
        wanted[name] = along
    if fixed_point:
        along = before[:, None] + torch.arange(block_size, device=device)
        wanted[FIXED_POINT] = along.clamp(max=columns - 1)

    ids, layout = shared.input_ids, shared.layout
    if riders.columns:
        riding = torch.cat(riders.ids, dim=1)
        ids = torch.cat([ids, riding], dim=1)
        if embeddings is not None:
            riding_embeddings = network.showo.model.embed_tokens(riding)
            embeddings = torch.cat([embeddings, riding_embeddings], dim=1)
        layout = riders.behind(layout)
    hidden = network.hidden_states(ids, network.mask_of(layout), layout.position_ids, embeddings)

    rows = torch.stack(list(wanted.values()))  # (versions, blocks, block tokens)
    chosen = hidden[batch.answer[:, None].expand_as(rows[0]), rows]
    logits = network.logits(chosen, network.vocabulary.text_rows)
    return dict(zip(wanted, logits, strict=True))


def _by_slot(tokens: Tensor, batch: AnswerBlocks, slot: Tensor, riders: "_Riders") -> Tensor:
    """Blocks `(blocks, tokens)` in their answers' slots: `(answers, slots, tokens)`."""
    shape = (*riders.is_block.shape, tokens.shape[1])
    filled = tokens.new_full(shape, riders.pad_id)
    filled[batch.answer, slot] = tokens
    return filled


class _Riders:
    """What rides behind the shared tokens of a batch of answers.

    Args:
        is_block: `(answers, slots)` bool; shorter answers have fewer blocks, the rest is padding.
        begins: `(answers, slots)`, the shared token at which each block begins.
        pad_id: Stands for padding.
    """

    def __init__(self, is_block: Tensor, begins: Tensor, pad_id: int) -> None:
        self.is_block = is_block
        self.begins = begins
        self.pad_id = pad_id
        self.columns = 0
        self.ids: list[Tensor] = []
        self._padding: list[Tensor] = []
        self._branch: list[Tensor] = []
        self._fork: list[Tensor] = []
        self._branches = 0

    def add_versions(self, tokens: Tensor) -> None:
        """Each block a branch that forks where the block begins.

        Args:
            tokens: `(answers, slots, tokens)`.
        """
        numbers = torch.arange(tokens.shape[1], device=tokens.device)
        self._add(tokens, numbers, self.begins)

    def add_chain(self, tokens: Tensor) -> None:
        """All blocks of an answer one branch, which forks where the answer begins.

        Args:
            tokens: `(answers, slots, tokens)`.
        """
        one = torch.zeros(tokens.shape[1], dtype=torch.long, device=tokens.device)
        self._add(tokens, one, self.begins[:, :1].expand_as(self.begins))

    def _add(self, tokens: Tensor, branch: Tensor, fork: Tensor) -> None:
        width = tokens.shape[2]

        def spread(of_slots: Tensor) -> Tensor:
            return of_slots.repeat_interleave(width, dim=1)

        self.ids.append(tokens.flatten(1))
        self._padding.append(spread(~self.is_block))
        self._branch.append(spread((branch + self._branches + 1).expand_as(self.begins)))
        self._fork.append(spread(fork))
        self._branches += int(branch.max()) + 1
        self.columns += tokens.shape[1] * width

    def behind(self, trunk: Layout) -> Layout:
        """The layout of the shared tokens, with their padding, and of what rides behind them."""
        assert trunk.padding is not None
        none = torch.zeros_like(trunk.block)
        riding = torch.cat(self.ids, dim=1)
        visible = None
        if trunk.visible is not None:
            unseen = torch.zeros_like(riding, dtype=torch.bool)
            visible = torch.cat([trunk.visible, unseen], dim=1)
        return Layout(
            block=torch.cat([trunk.block, torch.zeros_like(riding)], dim=1),
            padding=torch.cat([trunk.padding, *self._padding], dim=1),
            branch=torch.cat([none, *self._branch], dim=1),
            fork=torch.cat([none, *self._fork], dim=1),
            visible=visible,
        )
