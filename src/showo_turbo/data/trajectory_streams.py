"""Stored trajectories as streams: which step a sample starts from is drawn from its seed."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch

from ..trajectories.batch import (
    DenoisedTextBatch,
    ImageBatch,
    TextBatch,
    collate_denoised_texts,
    collate_image_trajectories,
    collate_text_trajectories,
)
from ..trajectories.dataset import (
    DenoisedTextDataset,
    ImageTrajectoryDataset,
    TextTrajectoryDataset,
)
from ..trajectories.draws import StateDraws, UniformDraws
from ..trajectories.partly_known import PartlyKnown
from ..trajectories.record import (
    DenoisedText,
    ImageTrajectory,
    MaskedTrajectory,
    TextTrajectory,
)
from ..trajectories.segments import check_recorded, draw_step
from ..trajectories.store import TrajectoryStore
from ..trajectories.text_draws import IterateDraws, UniformIterates
from ..utils.random import stateless_seed


class ImageTrajectoryStream:
    """Image trajectories, each with a step k from 0 to its number of steps - 1.

    Args:
        store: A finished store of images, or its folder.
        mask_code: The code that stands for a masked position.
        segments: Number of equal segments that the trajectories are cut into.
        draws: How k is drawn; uniformly by default.
        partly_known: How often a part of an image is known from the beginning.

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
        partly_known: PartlyKnown = PartlyKnown(),
    ) -> None:
        self.dataset = ImageTrajectoryDataset(store)
        check_recorded(segments, self.dataset.steps, self.dataset.recorded_segments)
        self.mask_code = mask_code
        self.segments = segments
        self.draws = draws
        self.partly_known = partly_known

    def __len__(self) -> int:
        """Number of trajectories."""
        return len(self.dataset)

    def draw(self, index: int, seed: int) -> tuple[ImageTrajectory, int, int]:
        """The trajectory at `index`, its step k, and a seed for what else is drawn.

        At state k something of it is masked.
        """
        drawn = stateless_seed(seed, 0, index, stream="image")
        record = self.partly_known.drawn(self.dataset[index], drawn)
        k = self.draws.draw(_masked_counts(record), drawn)
        return record, k, stateless_seed(seed, 0, index, stream="image/draft")

    def collate(self, items: Sequence[tuple[ImageTrajectory, int, int]]) -> ImageBatch:
        """The states at k and at the end of k's segment."""
        records, steps, seeds = zip(*items, strict=True)
        return collate_image_trajectories(
            records, steps, segments=self.segments, mask_code=self.mask_code, seeds=seeds
        )


class TextTrajectoryStream:
    """Jacobi trajectories of answers, each of their blocks with an iteration k.

    Args:
        store: A finished store of texts, or its folder.
        segments: Number of segments that a block's iterations are cut into.
        draws: How k is drawn; uniformly by default.
    """

    def __init__(
        self,
        store: TrajectoryStore | Path,
        segments: int,
        draws: IterateDraws = UniformIterates(),
    ) -> None:
        self.dataset = TextTrajectoryDataset(store)
        self.segments = segments
        self.draws = draws

    def __len__(self) -> int:
        """Number of answers."""
        return len(self.dataset)

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens of each sample, as training reads them."""
        return self.dataset.lengths()

    def draw(self, index: int, seed: int) -> tuple[TextTrajectory, list[int]]:
        """The answer at `index` and the iteration k of each of its blocks."""
        record = self.dataset[index]
        numbers = range(len(record.blocks))
        seeds = [stateless_seed(seed, 0, index, stream=f"text/{number}") for number in numbers]
        return record, self.draws.draw(record, seeds)

    def collate(self, items: Sequence[tuple[TextTrajectory, list[int]]]) -> TextBatch:
        """The iterates of all blocks at k and at the end of k's segment."""
        records, steps = zip(*items, strict=True)
        return collate_text_trajectories(records, steps, segments=self.segments)


class DenoisedTextStream:
    """Denoised answers, each with a block and a step k of that block.

    Args:
        store: A finished store of denoised texts, or its folder.
        mask_id: The id that stands for a masked token.
        segments: Number of equal segments that the steps of a block are cut into.
        draws: How k is drawn; uniformly by default.

    Raises:
        UserError: If the store is not a finished one of denoised texts, or was not recorded for
            these segments.
    """

    def __init__(
        self,
        store: TrajectoryStore | Path,
        mask_id: int,
        segments: int,
        draws: StateDraws = UniformDraws(),
    ) -> None:
        self.dataset = DenoisedTextDataset(store)
        if len(self.dataset):
            steps = self.dataset[0].blocks[0].steps
            check_recorded(segments, steps, self.dataset.recorded_segments)
        self.mask_id = mask_id
        self.segments = segments
        self.draws = draws

    def __len__(self) -> int:
        """Number of answers."""
        return len(self.dataset)

    def draw(self, index: int, seed: int) -> tuple[DenoisedText, tuple[int, int], int]:
        """The answer at `index`, a block and its step k, and a seed for what else is drawn."""
        record = self.dataset[index]
        block = _draw(seed, index, len(record.blocks), "text/block")
        drawn = stateless_seed(seed, 0, index, stream="text/step")
        k = self.draws.draw(_masked_counts(record.blocks[block]), drawn)
        return record, (block, k), stateless_seed(seed, 0, index, stream="text/masks")

    def collate(
        self, items: Sequence[tuple[DenoisedText, tuple[int, int], int]]
    ) -> DenoisedTextBatch:
        """The states at k and at the end of k's segment."""
        records, places, seeds = zip(*items, strict=True)
        return collate_denoised_texts(
            records, places, seeds, segments=self.segments, mask_id=self.mask_id
        )


def _masked_counts(record: MaskedTrajectory) -> list[int]:
    """Number of masked tokens of each state, `0 .. steps - 1`, as long as there are any."""
    revealed = torch.bincount(record.reveal_step.long(), minlength=record.steps + 1)
    counts: list[int] = (len(record.reveal_step) - revealed.cumsum(0))[:-1].tolist()
    return [count for count in counts if count]


def _draw(seed: int, index: int, steps: int, stream: str) -> int:
    """The step of a sample; its seed is another one in every epoch, so the epoch adds nothing."""
    return draw_step(seed, 0, index, steps, stream)
