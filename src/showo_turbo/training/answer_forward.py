"""The training forward of whole answers: all their blocks, in several versions, in one pass."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from ..models.showo import Showo
from ..prompting import UnifiedPrompting
from ..trajectories.batch import TextBatch

FIXED_POINT = "fixed_point_logits"
"""Name of what is predicted from the answer itself."""


def answer_logits(
    model: Showo,
    prompting: UnifiedPrompting,
    batch: TextBatch,
    versions: Mapping[str, Tensor],
    *,
    fixed_point: bool = False,
) -> dict[str, Tensor]:
    """Predict every token of every block from the tokens before it.

    A sequence holds the image, the question and the whole answer once. Behind it ride the versions
    of its blocks: each sees what precedes its block (image, question, and the answer up to there)
    and its own past, and is seen by nothing else, which gives what a sequence of its own for each
    would give. The fixed point needs no version: it is the answer itself.

    Args:
        model: Network.
        prompting: Builds the sequences.
        batch: Answers with their images, questions and blocks.
        versions: Names of versions, with the tokens `(blocks, block tokens)` of each.
        fixed_point: Whether to predict from the answer itself, too.

    Returns:
        For each version, and under `FIXED_POINT` if asked for, `(blocks, block tokens, text
        vocabulary)`: row i predicts the block's token i. Rows after the answer's end are arbitrary.
    """
    pairs = zip(batch.prompt_ids, batch.answer_ids, strict=True)
    # Token i is predicted at token i - 1, and nothing at the last.
    shared = prompting.understanding(batch.image_codes, [[*p, *answer[:-1]] for p, answer in pairs])
    count, columns = shared.input_ids.shape
    device = shared.input_ids.device
    block_size = batch.fixed_point.shape[1]
    width = block_size - 1
    slots = int((batch.start // block_size).max()) + 1
    # Where an answer's first token stands, and where each block does.
    image = batch.image_codes.shape[1] + len(("mmu", "soi", "eoi", "sot"))
    first = torch.tensor([[image + len(prompt)] for prompt in batch.prompt_ids], device=device)
    begins = first + torch.arange(slots, device=device) * block_size  # (answers, slots)
    place = torch.arange(width, device=device)

    ids, positions, mask = shared.input_ids, shared.position_ids, shared.attention_mask
    if versions and width:
        slot = batch.start // block_size
        riding = ids.new_full((len(versions), count, slots, width), prompting.vocabulary.pad_id)
        for row, tokens in enumerate(versions.values()):
            riding[row, batch.answer, slot] = tokens[:, :-1]
        ids = torch.cat([ids, *(version.flatten(1) for version in riding)], dim=1)
        own = (begins[:, :, None] + place).flatten(1)
        positions = torch.cat([positions, own.repeat(1, len(versions))], dim=1)
        mask = _mask_with_versions(mask, begins, width, len(versions))
    hidden = model.hidden_states(ids, mask, positions)

    before = begins[batch.answer, batch.start // block_size] - 1  # (blocks,)
    wanted: dict[str, Tensor] = {}
    for row, name in enumerate(versions):
        start = columns + (row * slots + batch.start // block_size) * width
        wanted[name] = torch.cat([before[:, None], start[:, None] + place], dim=1)
    if fixed_point:
        along = before[:, None] + torch.arange(block_size, device=device)
        wanted[FIXED_POINT] = along.clamp(max=columns - 1)
    rows = torch.stack(list(wanted.values()))  # (versions, blocks, block tokens)
    chosen = hidden[batch.answer[:, None].expand_as(rows[0]), rows]
    logits = model.logits(chosen, model.vocabulary.text_rows)
    return dict(zip(wanted, logits, strict=True))


def _mask_with_versions(shared: Tensor, begins: Tensor, width: int, versions: int) -> Tensor:
    """Extend a mask by versions of blocks, which see what precedes their block and their own past.

    Args:
        shared: `(answers, 1, tokens, tokens)` bool, the mask among the shared tokens.
        begins: `(answers, blocks)`, the shared token at which each block begins.
        width: Tokens of a block's version.
        versions: Number of versions.

    Returns:
        `(answers, 1, all tokens, all tokens)` bool.
    """
    riding = versions * begins.shape[1] * width
    seen = torch.arange(shared.shape[-1], device=shared.device) < begins[:, :, None]
    seen = seen.repeat_interleave(width, dim=1).repeat(1, versions, 1)
    past = torch.ones(width, width, dtype=torch.bool, device=shared.device).tril()
    own = torch.block_diag(*[past] * (versions * begins.shape[1])).expand(len(begins), 1, -1, -1)
    behind = torch.cat([seen[:, None], own], dim=-1)
    return torch.cat([functional.pad(shared, (0, riding)), behind], dim=-2)
