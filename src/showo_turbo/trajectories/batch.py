"""Dense tensors of several trajectories, each at its own drawn step, as the losses want them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .record import DenoisedText, ImageTrajectory, MaskedTrajectory, TextTrajectory
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
        seeds: One for each sample, for what is drawn for it in training.
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
    seeds: list[int]


class DenoisedTextBatch(NamedTuple):
    """Denoised answers, each at a drawn state `k` of a drawn block.

    A block is to its answer what an image is to its prompt: what `ImageBatch` calls codes are its
    ids; codes, steps and segments are those of the block. Only the states are of whole answers, as
    the network reads them.

    Attributes:
        prompt_ids: One list of ids for each answer, the text before it.
        images: The images that the texts are about, see `TextBatch`.
        seeds: One for each answer, for what is drawn for it.
        answers: `(answers, length)` long, the final ids, the mask's where none was recorded.
        columns: `(answers, block tokens)` long, the places of the block's tokens in the answer.
        codes: `(answers, block tokens)` long, the block's final ids.
        step: `(answers,)` long, `k`.
        segment: `(answers,)` long, k's segment, from 0.
        state_k: `(answers, length)` long, the answer at state k.
        masked_k: `(answers, block tokens)` boolean, `M_k`.
        state_t: `(answers, length)` long, the answer at state t.
        masked_t: `(answers, block tokens)` boolean, `M_t`.
        q_ids: `(answers, block tokens, kept)` long, the ids of the regularizer's distributions.
        q_log_probs: `(answers, block tokens, kept)` float32, their log-probabilities.
    """

    prompt_ids: list[list[int]]
    images: Tensor
    seeds: list[int]
    answers: Tensor
    columns: Tensor
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
    records: Sequence[ImageTrajectory],
    steps_k: Sequence[int],
    *,
    segments: int,
    mask_code: int,
    seeds: Sequence[int] | None = None,
) -> ImageBatch:
    """Stack image trajectories, each at its own step.

    Args:
        records: Trajectories over the same number of image tokens.
        steps_k: For each the drawn state, `0 .. steps - 1`.
        segments: Number of equal segments that the trajectories are cut into.
        mask_code: The code that stands for a masked token.
        seeds: One for each; all 0 by default.

    Raises:
        UserError: If a record does not allow these segments.
    """
    targets = [
        target_state(k, record.steps, segments) for record, k in zip(records, steps_k, strict=True)
    ]
    return ImageBatch(
        prompt_ids=[record.prompt_ids.tolist() for record in records],
        noise_seeds=[record.noise_seed for record in records],
        state_k=_states(records, steps_k, mask_code),
        state_t=_states(records, targets, mask_code),
        seeds=[0] * len(records) if seeds is None else list(seeds),
        **_at_states(records, steps_k, targets, segments),
    )


def collate_denoised_texts(
    records: Sequence[DenoisedText],
    places: Sequence[tuple[int, int]],
    seeds: Sequence[int],
    *,
    segments: int,
    mask_id: int,
) -> DenoisedTextBatch:
    """Stack denoised answers, each at its own state of one of its blocks.

    Args:
        records: Answers in blocks of the same size, about images of the same kind and shape.
        places: For each a block and the drawn state k of it, `0 .. steps - 1`.
        seeds: One for each.
        segments: Number of equal segments that the steps of a block are cut into.
        mask_id: The id that stands for a masked token.

    Raises:
        UserError: If a record does not allow these segments.
    """
    drawn = list(zip(records, places, strict=True))
    blocks = [record.blocks[number] for record, (number, _) in drawn]
    steps_k = [k for _, k in places]
    targets = [
        target_state(k, block.steps, segments) for block, k in zip(blocks, steps_k, strict=True)
    ]
    last = [(len(record.blocks) - 1, record.blocks[-1].steps) for record in records]
    return DenoisedTextBatch(
        prompt_ids=[record.prompt_ids.tolist() for record in records],
        images=torch.stack([_read(record.image) for record in records]),
        seeds=list(seeds),
        answers=torch.stack(
            [record.state(*end, mask_id) for record, end in zip(records, last, strict=True)]
        ),
        columns=torch.stack([record.columns(number) for record, (number, _) in drawn]),
        state_k=torch.stack([record.state(number, k, mask_id) for record, (number, k) in drawn]),
        state_t=torch.stack(
            [
                record.state(number, t, mask_id)
                for (record, (number, _)), t in zip(drawn, targets, strict=True)
            ]
        ),
        **_at_states(blocks, steps_k, targets, segments),
    )


def _states(records: Sequence[MaskedTrajectory], steps: Sequence[int], mask_code: int) -> Tensor:
    return torch.stack(
        [record.state(step, mask_code) for record, step in zip(records, steps, strict=True)]
    )


def _at_states(
    records: Sequence[MaskedTrajectory],
    steps_k: Sequence[int],
    targets: Sequence[int],
    segments: int,
) -> dict[str, Any]:
    """What batches of images and of denoised texts have in common."""
    pairs = list(zip(records, steps_k, strict=True))
    ends = list(zip(records, targets, strict=True))
    q_ids, q_log_probs = zip(
        *(record.distribution(k, segments) for record, k in pairs), strict=True
    )
    return {
        "codes": torch.stack([record.codes.long() for record in records]),
        "step": torch.tensor(list(steps_k)),
        "segment": torch.tensor([segment_index(k, record.steps, segments) for record, k in pairs]),
        "masked_k": torch.stack([record.masked(k) for record, k in pairs]),
        "masked_t": torch.stack([record.masked(t) for record, t in ends]),
        "q_ids": torch.stack(q_ids),
        "q_log_probs": torch.stack(q_log_probs),
    }


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
