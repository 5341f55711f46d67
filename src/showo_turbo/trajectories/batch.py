"""Dense tensors of several trajectories, each at its own drawn step, as the losses want them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .record import ImageTrajectory, TextBlock
from .segments import iteration_segment, segment_end, segment_index


class ImageBatch(NamedTuple):
    """Image trajectories, each at a drawn state `k` of its own; `e` is the end of k's segment.

    Attributes:
        prompt_ids: One list of ids for each sample.
        codes: `(batch, M)` long, the final codes.
        step: `(batch,)` long, `k`.
        segment: `(batch,)` long, k's segment, from 0.
        state_k: `(batch, M)` long, `u_k`, with the mask's code where masked.
        masked_k: `(batch, M)` boolean, `M_k`.
        state_before_end: `(batch, M)` long, `u_{e-1}`, the state at the segment's last step.
        masked_before_end: `(batch, M)` boolean, `M_{e-1}`.
        q_ids: `(batch, M, kept)` long, the codes of the regularizer's distributions.
        q_log_probs: `(batch, M, kept)` float32, their log-probabilities.
    """

    prompt_ids: list[list[int]]
    codes: Tensor
    step: Tensor
    segment: Tensor
    state_k: Tensor
    masked_k: Tensor
    state_before_end: Tensor
    masked_before_end: Tensor
    q_ids: Tensor
    q_log_probs: Tensor


class TextBatch(NamedTuple):
    """Blocks of text, each at a drawn Jacobi iterate `k`; `e` is the iterate at its segment's end.

    Attributes:
        prompt_ids: One list of ids for each sample, the text before the answer.
        prefix_ids: One list of ids for each sample, the answer before the block.
        image_codes: `(batch, M)` long, the images that the texts are about.
        step: `(batch,)` long, `k`.
        segment: `(batch,)` long, k's segment, from 0.
        tokens_k: `(batch, block)` long, `v_k`.
        tokens_e: `(batch, block)` long, `v_e`.
        fixed_point: `(batch, block)` long, `v_J`, the teacher's greedy answer.
        first_difference: `(batch,)` long, the first position at which `v_k` and `v_e` differ; the
            block's size if there is none.
        differs: `(batch, block)` boolean, the valid positions from the first difference on: those
            that the consistency loss counts.
        valid: `(batch, block)` boolean, the positions up to and including the end of the answer.
    """

    prompt_ids: list[list[int]]
    prefix_ids: list[list[int]]
    image_codes: Tensor
    step: Tensor
    segment: Tensor
    tokens_k: Tensor
    tokens_e: Tensor
    fixed_point: Tensor
    first_difference: Tensor
    differs: Tensor
    valid: Tensor


def collate_image_trajectories(
    records: Sequence[ImageTrajectory], steps_k: Sequence[int], *, segments: int, mask_code: int
) -> ImageBatch:
    """Stack image trajectories, each at its own step.

    Args:
        records: Trajectories over the same number of image tokens.
        steps_k: For each the drawn state, `0 .. steps - 1`.
        segments: Number of equal segments that the trajectories are cut into.
        mask_code: The code that stands for a masked token.

    Raises:
        UserError: If a record does not allow these segments.
    """
    pairs = list(zip(records, steps_k, strict=True))
    before_end = [segment_end(k, record.steps, segments) - 1 for record, k in pairs]
    q_ids, q_log_probs = zip(
        *(record.distribution(k, segments) for record, k in pairs), strict=True
    )
    ends = list(zip(records, before_end, strict=True))
    return ImageBatch(
        prompt_ids=[record.prompt_ids.tolist() for record in records],
        codes=torch.stack([record.codes.long() for record in records]),
        step=torch.tensor(list(steps_k)),
        segment=torch.tensor([segment_index(k, record.steps, segments) for record, k in pairs]),
        state_k=torch.stack([record.state(k, mask_code) for record, k in pairs]),
        masked_k=torch.stack([record.masked(k) for record, k in pairs]),
        state_before_end=torch.stack([record.state(end, mask_code) for record, end in ends]),
        masked_before_end=torch.stack([record.masked(end) for record, end in ends]),
        q_ids=torch.stack(q_ids),
        q_log_probs=torch.stack(q_log_probs),
    )


def collate_text_blocks(
    blocks: Sequence[TextBlock], steps_k: Sequence[int], *, segments: int
) -> TextBatch:
    """Stack blocks of text, each at its own Jacobi iterate.

    Args:
        blocks: Blocks of the same size about images of the same number of tokens.
        steps_k: For each the drawn iterate, `0 .. block.iterations - 1`.
        segments: Number of segments that the iterations are cut into.

    Raises:
        UserError: If there is no segment.
    """
    cuts = [
        iteration_segment(k, block.iterations, segments)
        for block, k in zip(blocks, steps_k, strict=True)
    ]
    tokens_k = torch.stack([b.iterates[k] for b, k in zip(blocks, steps_k, strict=True)]).long()
    tokens_e = torch.stack([b.iterates[e] for b, (_, e) in zip(blocks, cuts, strict=True)]).long()
    position = torch.arange(tokens_k.shape[1])
    valid = position < torch.tensor([block.valid_length for block in blocks])[:, None]
    # True from the first difference on.
    started = (tokens_k != tokens_e).cummax(dim=1).values
    return TextBatch(
        prompt_ids=[block.prompt_ids.tolist() for block in blocks],
        prefix_ids=[block.prefix_ids.tolist() for block in blocks],
        image_codes=torch.stack([block.image_codes.long() for block in blocks]),
        step=torch.tensor(list(steps_k)),
        segment=torch.tensor([segment for segment, _ in cuts]),
        tokens_k=tokens_k,
        tokens_e=tokens_e,
        fixed_point=torch.stack([block.fixed_point for block in blocks]).long(),
        first_difference=(~started).sum(dim=1),
        differs=started & valid,
        valid=valid,
    )
