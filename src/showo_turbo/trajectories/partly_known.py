"""Trajectories of images of which a part is known at first, as when images are changed."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import UserError
from ..utils.random import stateless_seed, uniform
from .record import ImageTrajectory
from .recorder import NO_PROBABILITY
from .segments import segment_ends


@dataclass(frozen=True)
class PartlyKnown:
    """How often a trajectory is trained on with all known but a random box of its tokens.

    The box is in the image where a mask or a new edge would be: its rows and columns are drawn
    uniformly, from one to all, but not all of both, and so is its place.

    Args:
        share: Of the samples; 0 for none.

    Raises:
        UserError: If it is not a share.
    """

    share: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise UserError(
                f"share of partly_known is {self.share}; expected a share, set it to 0..1"
            )

    def drawn(self, record: ImageTrajectory, seed: int) -> ImageTrajectory:
        """The trajectory as it is trained on: as it is, or partly known.

        Args:
            record: The trajectory.
            seed: 63 random bits, others for every sample and epoch.
        """
        if uniform(seed, stream="partly known") >= self.share:
            return record
        side = math.isqrt(len(record.codes))
        return known_outside(record, random_box(side, stateless_seed(seed, stream="box")))


def random_box(side: int, seed: int) -> Tensor:
    """A random box of a square of tokens, see `PartlyKnown`.

    Args:
        side: Rows and columns of the square, at least 2.
        seed: Of all that is drawn.

    Returns:
        `(side * side,)` bool, row by row: the tokens in it.
    """
    generator = torch.Generator().manual_seed(seed)

    def below(count: int) -> int:
        return int(torch.randint(count, (), generator=generator))

    # One of all sizes, row by row, but the last: all rows and all columns.
    rows, columns = (size + 1 for size in divmod(below(side * side - 1), side))
    top, left = below(side - rows + 1), below(side - columns + 1)
    box = torch.zeros(side, side, dtype=torch.bool)
    box[top : top + rows, left : left + columns] = True
    return box.flatten()


def known_outside(record: ImageTrajectory, box: Tensor) -> ImageTrajectory:
    """The trajectory of the same image if all tokens outside of a box are known from the beginning.

    Those in the box are revealed in the steps in which they were. All distributions are certain of
    the image's codes: what the teacher predicted, it predicted without knowing the rest.

    Args:
        record: The trajectory.
        box: `(M,)` bool, the tokens that are masked at first.
    """
    reveal_step = record.reveal_step.masked_fill(~box, 0)
    ids = torch.zeros_like(record.top_ids)
    ids[:, 0] = record.codes
    log_probs = torch.full_like(record.top_log_probs, NO_PROBABILITY)
    log_probs[:, 0] = 0.0
    ends = segment_ends(record.steps, record.recorded_segments)[:-1]
    # As they are packed: segment after segment, the positions that are masked at its end.
    rows = (reveal_step > torch.tensor(ends)[:, None]).nonzero()[:, 1]
    return replace(
        record,
        reveal_step=reveal_step,
        top_ids=ids,
        top_log_probs=log_probs,
        boundary_top_ids=ids[rows],
        boundary_top_log_probs=log_probs[rows],
    )
