"""Stored trajectories as streams: which step a sample starts from is drawn from its seed."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ..trajectories.batch import (
    ImageBatch,
    TextBatch,
    collate_image_trajectories,
    collate_text_trajectories,
)
from ..trajectories.dataset import ImageTrajectoryDataset, TextTrajectoryDataset
from ..trajectories.draws import StateDraws, UniformDraws
from ..trajectories.record import ImageTrajectory, TextTrajectory
from ..trajectories.segments import check_recorded, draw_step
from ..trajectories.store import TrajectoryStore
from ..utils.random import stateless_seed


class ImageTrajectoryStream:
    """Image trajectories, each with a step k from 0 to its number of steps - 1.

    Args:
        store: A finished store of images, or its folder.
        mask_code: The code that stands for a masked position.
        segments: Number of equal segments that the trajectories are cut into.
        draws: How k is drawn; uniformly by default.

    Raises:
        UserError: If the store is not a finished one of images, or was not recorded for these
            segments.
    """

    def __init__(
        self,
        store: TrajectoryStore | Path,
        mask_code: int,
        segments: int,
        draws: StateDraws = UniformDraws(),
    ) -> None:
        self.dataset = ImageTrajectoryDataset(store)
        check_recorded(segments, self.dataset.steps, self.dataset.recorded_segments)
        self.mask_code = mask_code
        self.segments = segments
        self.draws = draws

    def __len__(self) -> int:
        """Number of trajectories."""
        return len(self.dataset)

    def draw(self, index: int, seed: int) -> tuple[ImageTrajectory, int]:
        """The trajectory at `index` and its step k."""
        record = self.dataset[index]
        revealed = torch.bincount(record.reveal_step.long(), minlength=record.steps + 1)
        masked = (len(record.reveal_step) - revealed.cumsum(0))[:-1].tolist()
        return record, self.draws.draw(masked, stateless_seed(seed, 0, index, stream="image"))

    def collate(self, items: Sequence[tuple[ImageTrajectory, int]]) -> ImageBatch:
        """The states at k and at the end of k's segment."""
        records, steps = zip(*items, strict=True)
        return collate_image_trajectories(
            records, steps, segments=self.segments, mask_code=self.mask_code
        )


class TextTrajectoryStream:
    """Jacobi trajectories of answers, each of their blocks with an iteration k.

    Args:
        store: A finished store of texts, or its folder.
        segments: Number of segments that a block's iterations are cut into.
    """

    def __init__(self, store: TrajectoryStore | Path, segments: int) -> None:
        self.dataset = TextTrajectoryDataset(store)
        self.segments = segments

    def __len__(self) -> int:
        """Number of answers."""
        return len(self.dataset)

    def draw(self, index: int, seed: int) -> tuple[TextTrajectory, list[int]]:
        """The answer at `index` and the iteration k of each of its blocks."""
        record = self.dataset[index]
        return record, [
            _draw(seed, index, len(block) - 1, f"text/{number}")
            for number, block in enumerate(record.blocks)
        ]

    def collate(self, items: Sequence[tuple[TextTrajectory, list[int]]]) -> TextBatch:
        """The iterates of all blocks at k and at the end of k's segment."""
        records, steps = zip(*items, strict=True)
        return collate_text_trajectories(records, steps, segments=self.segments)


def _draw(seed: int, index: int, steps: int, stream: str) -> int:
    """The step of a sample; its seed is another one in every epoch, so the epoch adds nothing."""
    return draw_step(seed, 0, index, steps, stream)
