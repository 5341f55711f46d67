"""Picks from the steps of a batch that is denoised what the records keep."""

from typing import Any

import torch
from torch import Tensor

from ..sampling.parallel import DenoisingStep
from .segments import segment_ends

NO_PROBABILITY = -1e4
"""Logarithm of a probability that float16 holds and float32 takes for 0."""


def id_type(largest: int) -> torch.dtype:
    """The smallest type that ids are recorded in: 16 bits up to the released codebooks."""
    return torch.int16 if largest < 2**15 else torch.int32


class StateRecorder:
    """Takes in the steps of a batch, one by one, and gives the trajectory of each sample.

    Args:
        mask_code: What stands for a masked token.
        candidates: Number of codes or ids that a token may become; those of a text are its ids.
        steps: `K`, steps of a trajectory.
        segments: Equal segments at whose ends distributions are recorded.
        topk_targets: How many of the most probable candidates are recorded.
    """

    def __init__(
        self, mask_code: int, candidates: int, steps: int, segments: int, topk_targets: int
    ) -> None:
        self.mask_code = mask_code
        self.steps = steps
        self.segments = segments
        self.kept = min(topk_targets, candidates)
        self.code_type = id_type(candidates - 1)
        # At the last segment's end nothing is masked, so nothing is to be recorded there. From the
        # state at another end it is the next step that predicts.
        self.boundaries = {end + 1 for end in segment_ends(steps, segments)[:-1]}
        self.codes = self.reveal_step = self.top_ids = self.top_log_probs = torch.empty(0)
        self.at_boundary: list[tuple[Tensor, Tensor, Tensor]] = []

    def begin(self, known: Tensor, done: int) -> None:
        """Take in the codes that decoding starts from: certain, and revealed in step `done`."""
        known = known.cpu()
        revealed = known != self.mask_code
        self.reveal_step = revealed.to(torch.int16) * done
        self.top_ids = torch.zeros(*known.shape, self.kept, dtype=self.code_type)
        self.top_ids[..., 0] = known.masked_fill(~revealed, 0).to(self.code_type)
        # Certain, with codes of no probability beside it.
        self.top_log_probs = torch.full((*known.shape, self.kept), NO_PROBABILITY)
        self.top_log_probs[..., 0] = 0.0

    def add(self, step: DenoisingStep) -> None:
        """Take in the next step."""
        revealed = step.revealed.cpu()
        at_boundary = step.index in self.boundaries
        masked_before = revealed | (step.codes == self.mask_code).cpu()
        needed = masked_before if at_boundary else revealed
        rows = step.logits[needed.to(step.logits.device)].float().log_softmax(dim=-1)
        top = rows.topk(self.kept, dim=-1)
        log_probs = torch.zeros(*needed.shape, self.kept)
        ids = torch.zeros(*needed.shape, self.kept, dtype=self.code_type)
        log_probs[needed] = top.values.cpu()
        ids[needed] = top.indices.to(self.code_type).cpu()
        if not self.reveal_step.numel():
            self.reveal_step = torch.zeros(needed.shape, dtype=torch.int16)
            self.top_ids, self.top_log_probs = torch.zeros_like(ids), torch.zeros_like(log_probs)
        self.reveal_step[revealed] = step.index
        self.top_ids[revealed] = ids[revealed]
        self.top_log_probs[revealed] = log_probs[revealed]
        if at_boundary:
            self.at_boundary.append((masked_before, ids, log_probs))
        self.codes = step.codes.cpu()

    def states(self, sample: int) -> dict[str, Any]:
        """Return the fields of the `MaskedTrajectory` of one sample of the batch."""
        ends = [
            (ids[sample][masked[sample]], values[sample][masked[sample]])
            for masked, ids, values in self.at_boundary
        ]
        none = self.top_ids.new_zeros(0, self.kept)
        none_log_probs = self.top_log_probs.new_zeros(0, self.kept)
        return {
            "codes": self.codes[sample].to(self.code_type),
            "reveal_step": self.reveal_step[sample],
            "top_ids": self.top_ids[sample],
            "top_log_probs": self.top_log_probs[sample].half(),
            "boundary_top_ids": torch.cat([none, *(entry[0] for entry in ends)]),
            "boundary_top_log_probs": torch.cat(
                [none_log_probs, *(entry[1] for entry in ends)]
            ).half(),
            "steps": self.steps,
            "recorded_segments": self.segments,
        }
