"""One stage of a curriculum, as it is written in YAML."""

import math
from dataclasses import dataclass

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
        learning_rate: Learning rate of the stage; the optimizer's own by default.
        final_learning_rate: Learning rate of the stage's last epoch, reached from `learning_rate`
            in equal steps from epoch to epoch; that of the first epoch by default.
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
    final_learning_rate: float | None = None
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
        for name in ("learning_rate", "final_learning_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UserError(f"{name} is {value}; expected a value above 0, correct the stage")
        if self.refresh_every_n_epochs < 0:
            raise UserError(
                f"refresh_every_n_epochs is {self.refresh_every_n_epochs}; expected 0 or more, "
                "correct the stage"
            )
        if self.final_learning_rate is not None and self.learning_rate is None:
            raise UserError(
                f"final_learning_rate is {self.final_learning_rate}, but there is no learning_rate "
                "to start from; give both"
            )

    def __str__(self) -> str:
        """The stage in a few words, for people."""
        return (
            f"{self.steps} steps, guidance {self.guidance_scale:g}, "
            f"{self.image_segments}/{self.text_segments} segments"
        )
