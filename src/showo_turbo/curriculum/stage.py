"""One stage of a curriculum, as it is written in YAML."""

import math
from dataclasses import dataclass
from typing import Literal

from lightning.pytorch.cli import LRSchedulerCallable

from ..errors import UserError
from ..sampling.options import check_seed
from ..trajectories import StoredTrajectories, check_segments


@dataclass(frozen=True)
class Stage:
    """One stage of the curriculum.

    Args:
        epochs: Passes over the stage's image trajectories.
        steps: K, the teacher's denoising steps.
        guidance_scale: w, the teacher's classifier-free guidance; it is distilled into the student.
        image_segments: S, equal segments that image trajectories are trained in; must divide
            `steps`, and the number that stored trajectories were recorded for.
        text_segments: Segments of a block's Jacobi iterations.
        confidence_temperature: Noise on the order in which the teacher reveals tokens, see
            `ImageCollection`; 0 reveals the surest first, as published.
        shared_noise_seed: Seed of that noise, one draw for all images and steps.
        image_trajectories: Captions to collect for; all by default.
        text_trajectories: Questions to collect for; all by default.
        trajectories: Stores that `collect` made, which the stage's first round trains on in place
            of what it would collect; in the first stage, those of the data module by default. Their
            teacher should be the one that the stage begins with.
        learning_rate: Learning rate that the stage begins with; by default the optimizer's own if
            there is an `lr_scheduler`, and else what the stage before goes on with.
        lr_scheduler: Makes the learning rate's schedule over the stage, over its refreshes too;
            without one `learning_rate` is constant. Not beside an `lr_scheduler` of the model.
        lr_interval: Whether the schedule is stepped once an `epoch` or once an optimizer `step`.
        refresh_every_n_epochs: Make the student the teacher and collect anew this often within
            the stage; 0 does it only when the stage begins.
        keep_optimizer: Keep the optimizer's moments when the stage begins.

    Raises:
        UserError: If a value is out of range.
    """

    epochs: int
    steps: int = 16
    guidance_scale: float = 0.0
    image_segments: int = 4
    text_segments: int = 4
    confidence_temperature: float = 0.0
    shared_noise_seed: int = 0
    image_trajectories: int | None = None
    text_trajectories: int | None = None
    trajectories: StoredTrajectories | None = None
    learning_rate: float | None = None
    lr_scheduler: LRSchedulerCallable | None = None
    lr_interval: Literal["epoch", "step"] = "epoch"
    refresh_every_n_epochs: int = 0
    keep_optimizer: bool = False

    def __post_init__(self) -> None:
        check_segments(self.steps, self.image_segments)
        check_seed(self.shared_noise_seed, "shared_noise_seed")
        counts = ("epochs", "text_segments", "image_trajectories", "text_trajectories")
        for name in counts:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} is {value}; expected at least 1, correct the stage")
        rate = self.learning_rate
        if rate is not None and not 0 < rate < math.inf:
            raise UserError(f"learning_rate is {rate}; expected a value above 0, correct the stage")
        if self.refresh_every_n_epochs < 0:
            raise UserError(
                f"refresh_every_n_epochs is {self.refresh_every_n_epochs}; expected 0 or more, "
                "correct the stage"
            )

    def __str__(self) -> str:
        """The stage in a few words, for people."""
        return (
            f"{self.steps} steps, guidance {self.guidance_scale:g}, "
            f"{self.image_segments}/{self.text_segments} segments"
        )
