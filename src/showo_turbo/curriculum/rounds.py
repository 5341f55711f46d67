"""Which round an epoch of a curriculum belongs to."""

from collections.abc import Sequence
from typing import Literal

from ..trajectories import StoredTrajectories
from .stage import Stage


def rounds_of(stages: Sequence[Stage]) -> list[tuple[int, int]]:
    """For every round its stage (from 0) and its first epoch."""
    rounds, first = [], 0
    for index, stage in enumerate(stages):
        length = stage.refresh_every_n_epochs or stage.epochs
        rounds += [(index, first + done) for done in range(0, stage.epochs, length)]
        first += stage.epochs
    return rounds


def round_of_epoch(stages: Sequence[Stage], epoch: int) -> int:
    """The round that an epoch belongs to; the last one for epochs beyond the end."""
    rounds = rounds_of(stages)
    return max(r for r, (_, first) in enumerate(rounds) if first <= max(epoch, 0))


def used_before(stages: Sequence[Stage], round_index: int, kind: Literal["image", "text"]) -> int:
    """How many captions or questions the rounds before one have taken; 0 if one took them all."""
    counts = [
        stages[index].image_trajectories if kind == "image" else stages[index].text_trajectories
        for index, _ in rounds_of(stages)[:round_index]
    ]
    return 0 if None in counts else sum(count for count in counts if count is not None)


def stored_trajectories(
    stages: Sequence[Stage], round_index: int, initial: StoredTrajectories | None
) -> StoredTrajectories | None:
    """The stores that a round is given to train on, if any.

    Args:
        stages: The stages.
        round_index: The round.
        initial: Those of the data module, for the first round of all.
    """
    rounds = rounds_of(stages)
    index, _ = rounds[round_index]
    begins = round_index == 0 or rounds[round_index - 1][0] != index
    given = stages[index].trajectories if begins else None
    return initial if given is None and round_index == 0 else given
