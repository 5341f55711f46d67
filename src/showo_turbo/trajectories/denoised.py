"""Recording how answers are denoised, block after block."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..models.protocols import ImageModel
from ..models.registry import masked_text_model
from ..sampling.block_diffusion import TextDenoising, denoise_texts
from ..sampling.parallel import DenoisingStep
from .record import MaskedTrajectory
from .recorder import StateRecorder


class RecordedAnswer(NamedTuple):
    """What one answer became, and how.

    Attributes:
        tokens: Its ids, up to and including its end.
        finished: Whether it has an end.
        blocks: The trajectories of its blocks, up to the one in which it ends.
    """

    tokens: list[int]
    finished: bool
    blocks: list[MaskedTrajectory]


@torch.no_grad()
def record_blocks(
    teacher: ImageModel,
    images: Tensor,
    prompts: Sequence[Sequence[int]],
    options: TextDenoising,
    seeds: Sequence[int],
    *,
    segments: int,
    topk_targets: int,
) -> list[RecordedAnswer]:
    """Denoise a batch of answers, and record every block as an image is recorded.

    Args:
        teacher: The network to record, in evaluation mode.
        images: The image of each answer, as its `image_input` says.
        prompts: Text ids of each, as `encode_question` gives them.
        options: How; only text tokens may be predicted.
        seeds: One an answer.
        segments: Equal segments of a block's steps at whose ends distributions are recorded.
        topk_targets: How many of the likeliest ids of a distribution are recorded.

    Raises:
        UserError: If the teacher does not denoise its text, or an option is out of range.
    """
    writer = masked_text_model(teacher, "recording how texts are denoised")
    options = replace(options, restrict_to_text=True, stop_at_end=True, complete_blocks=True)
    steps, size = options.steps_per_block, options.block_size
    blocks: list[list[MaskedTrajectory]] = [[] for _ in prompts]
    recorder: StateRecorder | None = None
    for step in denoise_texts(teacher, images, prompts, options, seeds):
        block, before = divmod(step.index - 1, steps)
        columns = slice(block * size, (block + 1) * size)
        if recorder is None:
            recorder = StateRecorder(
                writer.text_mask_id, step.logits.shape[-1], steps, segments, topk_targets
            )
        recorder.add(
            DenoisingStep(
                before + 1,
                step.answers[step.samples, columns],
                step.revealed[step.samples, columns],
                step.logits,
            )
        )
        if before + 1 == steps:
            for row, sample in enumerate(step.samples):
                blocks[sample].append(MaskedTrajectory(**recorder.states(row)))
            recorder = None
    return [_answer(recorded, writer.end_ids) for recorded in blocks]


def _answer(blocks: list[MaskedTrajectory], end_ids: Sequence[int]) -> RecordedAnswer:
    tokens = torch.cat([block.codes for block in blocks]).long()
    ends = torch.isin(tokens, torch.tensor(end_ids)).nonzero()
    length = int(ends[0]) + 1 if len(ends) else len(tokens)
    return RecordedAnswer(tokens[:length].tolist(), bool(len(ends)), blocks)
