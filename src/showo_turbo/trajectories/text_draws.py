"""Which Jacobi iterates of an answer's blocks a training sample starts from."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..errors import UserError
from ..utils.random import stateless_seed
from .draws import StateDraws
from .record import TextTrajectory

_SEEDS = 2**63


class IterateDraws(ABC):
    """How an iterate k of each block is drawn. One of your own is a subclass, named in the YAML.

    A draw is a function of its arguments, see `StateDraws`.
    """

    @abstractmethod
    def draw(self, record: TextTrajectory, seeds: Sequence[int]) -> list[int]:
        """Draw an iterate of each block.

        Args:
            record: The answer.
            seeds: 63 random bits a block, others for every sample and epoch.

        Returns:
            For each block k, `0 .. iterations - 1`.
        """


@dataclass(frozen=True)
class UniformIterates(IterateDraws):
    """Every iterate with the same probability, of each block by itself, as published."""

    def draw(self, record: TextTrajectory, seeds: Sequence[int]) -> list[int]:
        """Draw an iterate of each block; see `IterateDraws.draw`."""
        pairs = zip(record.blocks, seeds, strict=True)
        return [seed % (len(block) - 1) for block, seed in pairs]


@dataclass(frozen=True)
class GrowingNoise(IterateDraws):
    """Iterates of which the more tokens are wrong, the farther ahead their block is.

    While several blocks are guessed at once, the first of them is nearly settled and the last one
    is noise. Block b of an answer gets the iterate whose share of wrong tokens is nearest to
    `((b + p) mod window + u) / window`, with p drawn from `0 .. window - 1` for the answer and u
    uniform: within a window of so many blocks the noise grows, and then begins again.

    Args:
        window: Blocks that are guessed at once.

    Raises:
        UserError: If there are none.

    Source: the progressive noise schedule of Jacobi Forcing (arXiv 2512.14681).
    """

    window: int = 2

    def __post_init__(self) -> None:
        if self.window < 1:
            raise UserError(f"window is {self.window}; expected at least 1 block, correct it")

    def draw(self, record: TextTrajectory, seeds: Sequence[int]) -> list[int]:
        """Draw an iterate of each block; see `IterateDraws.draw`."""
        phase = stateless_seed(seeds[0], stream="phase") % self.window
        drawn = []
        for number, seed in enumerate(seeds):
            wanted = ((number + phase) % self.window + seed / _SEEDS) / self.window
            drawn.append(_nearest(wrong_shares(record, number), wanted))
        return drawn


def check_text_draws(draws: IterateDraws | StateDraws | None, denoised: bool) -> None:
    """Raise on draws for texts of the other kind.

    Args:
        draws: Those of a stage; None for uniform ones of either kind.
        denoised: Whether the model denoises its text.

    Raises:
        UserError: Naming the kind that the model needs.
    """
    kind = StateDraws if denoised else IterateDraws
    if draws is None or isinstance(draws, kind):
        return
    model, example = ("denoises its text", "SamplerDraws")
    if not denoised:
        model, example = ("decodes by Jacobi iteration", "GrowingNoise")
    raise UserError(
        f"text_draws is {type(draws).__name__}, but the model {model}; expected {kind.__name__}, "
        f"such as {example}, or leave text_draws out"
    )


def wrong_shares(record: TextTrajectory, number: int) -> list[float]:
    """Of each iterate of a block but the last, the share of the answer's tokens that are wrong."""
    valid = record.valid_length(number)
    block = record.blocks[number][:, :valid]
    wrong = (block[:-1] != block[-1]).sum(dim=1)
    shares: list[float] = (wrong.to(torch.float64) / valid).tolist()
    return shares


def _nearest(shares: Sequence[float], wanted: float) -> int:
    """The iterate with the nearest share of wrong tokens; of several the first."""
    return min(range(len(shares)), key=lambda k: (abs(shares[k] - wanted), k))
