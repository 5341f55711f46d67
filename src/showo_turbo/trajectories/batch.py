"""Dense tensors of several trajectories, each at its own drawn step, as the losses want them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .record import ImageTrajectory, TextTrajectory
from .segments import iteration_segment, segment_index, target_state


class ImageBatch(NamedTuple):
    """Image trajectories, each at a drawn state `k` of its own.

    `t` is the state that the jump from k is trained towards, see `target_state`.

    Attributes:
        prompt_ids: One list of ids for each sample.
        noise_seeds: One for each sample, see `ImageTrajectory`.
        codes: `(batch, M)` long, the final codes.
        step: `(batch,)` long, `k`.
        segment: `(batch,)` long, k's segment, from 0.
        state_k: `(batch, M)` long, `u_k`, with the mask's code where masked.
        masked_k: `(batch, M)` boolean, `M_k`.
        state_t: `(batch, M)` long, `u_t`.
        masked_t: `(batch, M)` boolean, `M_t`.
        q_ids: `(batch, M, kept)` long, the codes of the regularizer's distributions.
        q_log_probs: `(batch, M, kept)` float32, their log-probabilities.
    """

    prompt_ids: list[list[int]]
    noise_seeds: list[int]
    codes: Tensor
    step: Tensor
    segment: Tensor
    state_k: Tensor
    masked_k: Tensor
    state_t: Tensor
    masked_t: Tensor
    q_ids: Tensor
    q_log_probs: Tensor


class TextBatch(NamedTuple):
    """Answers, each of their blocks at a drawn Jacobi iterate `k`; `e` ends k's segment.

    Attributes:
        prompt_ids: One list of ids for each answer, the text before it.
        answer_ids: One list of ids for each answer, up to and including its end.
        images: The images that the texts are about: codes `(answers, M)` long, or features
            `(answers, tokens, width)` as they are recorded.
        answer: `(blocks,)` long, which answer a block is of.
        start: `(blocks,)` long, the answer's token that a block begins with.
        step: `(blocks,)` long, `k`.
        segment: `(blocks,)` long, k's segment, from 0.
        tokens_k: `(blocks, block tokens)` long, `v_k`.
        tokens_e: `(blocks, block tokens)` long, `v_e`.
        fixed_point: `(blocks, block tokens)` long, `v_J`, the teacher's greedy answer.
        first_difference: `(blocks,)` long, the first position at which `v_k` and `v_e` differ; the
            block's size if there is none.
        differs: `(blocks, block tokens)` boolean, the valid positions from the first difference on:
            those that the consistency loss counts.
        valid: `(blocks, block tokens)` boolean, the positions up to and including the end of the
            answer.
    """

    prompt_ids: list[list[int]]
    answer_ids: list[list[int]]
    images: Tensor
    answer: Tensor
    start: Tensor
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
    targets = [(record, target_state(k, record.steps, segments)) for record, k in pairs]
    q_ids, q_log_probs = zip(
        *(record.distribution(k, segments) for record, k in pairs), strict=True
    )
    return ImageBatch(
        prompt_ids=[record.prompt_ids.tolist() for record in records],
        noise_seeds=[record.noise_seed for record in records],
        codes=torch.stack([record.codes.long() for record in records]),
        step=torch.tensor(list(steps_k)),
        segment=torch.tensor([segment_index(k, record.steps, segments) for record, k in pairs]),
        state_k=torch.stack([record.state(k, mask_code) for record, k in pairs]),
        masked_k=torch.stack([record.masked(k) for record, k in pairs]),
        state_t=torch.stack([record.state(t, mask_code) for record, t in targets]),
        masked_t=torch.stack([record.masked(t) for record, t in targets]),
        q_ids=torch.stack(q_ids),
        q_log_probs=torch.stack(q_log_probs),
    )


def collate_text_trajectories(
    records: Sequence[TextTrajectory], steps_k: Sequence[Sequence[int]], *, segments: int
) -> TextBatch:
    """Stack all blocks of answers, each at its own Jacobi iterate.

    Args:
        records: Answers in blocks of the same size, about images of the same kind and shape.
        steps_k: For each the drawn iterates of its blocks, each `0 .. iterations - 1`.
        segments: Number of segments that the iterations of a block are cut into.

    Raises:
        UserError: If there is no segment.
    """
    size = records[0].block_size
    # Of every block: its answer, its place, its iterates, its iterate k, and (segment, iterate e).
    rows = [
        (index, number, block, k, iteration_segment(k, len(block) - 1, segments))
        for index, (record, drawn) in enumerate(zip(records, steps_k, strict=True))
        for number, (block, k) in enumerate(zip(record.blocks, drawn, strict=True))
    ]
    tokens_k = torch.stack([block[k] for _, _, block, k, _ in rows]).long()
    tokens_e = torch.stack([block[e] for _, _, block, _, (_, e) in rows]).long()
    answer = torch.tensor([index for index, *_ in rows])
    start = torch.tensor([number * size for _, number, *_ in rows])
    left = torch.tensor([len(record.answer_ids) for record in records])[answer] - start
    valid = torch.arange(size) < left[:, None]
    # True from the first difference on.
    started = (tokens_k != tokens_e).cummax(dim=1).values
    return TextBatch(
        prompt_ids=[record.prompt_ids.tolist() for record in records],
        answer_ids=[record.answer_ids.tolist() for record in records],
        images=torch.stack([_read(record.image) for record in records]),
        answer=answer,
        start=start,
        step=torch.tensor([k for *_, k, _ in rows]),
        segment=torch.tensor([segment for *_, (segment, _) in rows]),
        tokens_k=tokens_k,
        tokens_e=tokens_e,
        fixed_point=torch.stack([block[-1] for _, _, block, _, _ in rows]).long(),
        first_difference=(~started).sum(dim=1),
        differs=started & valid,
        valid=valid,
    )


def _read(image: Tensor) -> Tensor:
    """A recorded image: codes as ids, features as they are."""
    return image if image.is_floating_point() else image.long()
