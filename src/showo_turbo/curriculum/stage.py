"""One stage of a curriculum, as it is written in YAML."""

import math
from dataclasses import dataclass, field

from ..errors import UserError
from ..sampling.image_sampling import ImageSampling, SamplingChanges


@dataclass(frozen=True)
class Stage:
    """One stage of the curriculum.

    Args:
        epochs: Passes over the stage's image trajectories.
        sampling: What this stage changes of how the module's teacher is sampled: its denoising
            steps K; its guidance w, which is distilled into the student; and so on.
        image_segments: S, equal segments of an image trajectory; must divide K.
        text_segments: Segments of a block's Jacobi iterations.
        image_trajectories: Captions to collect for; all by default.
        text_trajectories: Questions to collect for; all by default.
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
    sampling: SamplingChanges = field(default_factory=SamplingChanges)
    image_segments: int = 4
    text_segments: int = 4
    image_trajectories: int | None = None
    text_trajectories: int | None = None
    learning_rate: float | None = None
    final_learning_rate: float | None = None
    refresh_every_n_epochs: int = 0
    keep_optimizer: bool = False

    def __post_init__(self) -> None:
        segments = ("image_segments", "text_segments")
        for name in ("epochs", *segments, "image_trajectories", "text_trajectories"):
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

    def describe(self, teacher_sampling: ImageSampling) -> str:
        """The stage in a few words, for people.

        Args:
            teacher_sampling: How the teacher is sampled, before this stage's changes.
        """
        sampling = self.sampling.over(teacher_sampling)
        return (
            f"{sampling.sampling_steps} steps, guidance {sampling.guidance_scale:g}, "
            f"{self.image_segments}/{self.text_segments} segments"
        )
