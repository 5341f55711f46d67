"""One stage of a curriculum, as it is written in YAML."""

import math
from dataclasses import dataclass, field
from typing import Literal

from lightning.pytorch.cli import LRSchedulerCallable

from ..errors import UserError, check_kind
from ..sampling.image_sampling import ImageSampling, SamplingChanges
from ..sampling.text_decoding import DecodingChanges
from ..targets import ConsistencyTarget
from ..trajectories import (
    ImageSource,
    IterateDraws,
    PartlyKnown,
    StateDraws,
    StoredTrajectories,
    UniformDraws,
)


@dataclass(frozen=True)
class Stage:
    """One stage of the curriculum.

    Args:
        epochs: Passes over the stage's image trajectories.
        sampling: What this stage changes of how the module's teacher is sampled: its denoising
            steps K; its guidance w, which is distilled into the student; and so on.
        decoding: What this stage changes of how the module's teacher answers, such as the denoising
            steps of a model whose text is denoised.
        image_segments: S, equal segments that image trajectories are trained in; must divide K, and
            the number that stored trajectories were recorded for.
        text_segments: Segments of a block's Jacobi iterations, or equal segments of its denoising
            steps, which they must divide.
        image_trajectories: Captions to collect for; all by default.
        images_per_caption: Images to collect per caption, from seeds of their own.
        text_trajectories: Questions to collect for; all by default.
        trajectories: Stores that `collect` made, which the stage's first round trains on in place
            of what it would collect; in the first stage, those of the data module by default. Their
            teacher should be the one that the stage begins with.
        learning_rate: Learning rate that the stage begins with; by default the optimizer's own if
            there is an `lr_scheduler`, and else what the stage before goes on with.
        lr_scheduler: Makes the learning rate's schedule over the stage, over its refreshes too;
            without one `learning_rate` is constant. Not beside an `lr_scheduler` of the model.
        lr_interval: Whether the schedule is stepped once an `epoch` or once an optimizer `step`.
        refresh_every_n_epochs: Make the student the teacher and collect again this often within
            the stage; 0 does it only when the stage begins.
        keep_optimizer: Keep the optimizer's moments when the stage begins, and at its refreshes.
        source: What generates the images of its trajectories: the teacher as `sampling` says by
            default; see `Sampled`, `Mixed` and `FirstAccepted`.
        draws: How the state of an image that a training sample starts from is drawn; uniformly by
            default, see `UniformDraws` and `SamplerDraws`.
        partly_known: How often a part of an image is known from the beginning, as when images are
            inpainted or extrapolated; by default never, see `PartlyKnown`.
        text_draws: How the Jacobi iterate that a block of an answer starts from is drawn, see
            `GrowingNoise`; or, where text is denoised, its state, as with `draws`. Uniformly by
            default.
        skip_prompts: Regular expression; captions in which it is found are left out in this stage,
            in place of the data module's `skip_prompts`.
        loss_weights: Weights of loss terms in this stage, by their names in the module's `losses`;
            other terms keep theirs.
        consistency_target: Whose prediction is the consistency terms' target in this stage, in
            place of the module's.

    Raises:
        UserError: If a value is out of range.
    """

    epochs: int
    sampling: SamplingChanges = field(default_factory=SamplingChanges)
    decoding: DecodingChanges = field(default_factory=DecodingChanges)
    image_segments: int = 4
    text_segments: int = 4
    image_trajectories: int | None = None
    images_per_caption: int = 1
    text_trajectories: int | None = None
    trajectories: StoredTrajectories | None = None
    learning_rate: float | None = None
    lr_scheduler: LRSchedulerCallable | None = None
    lr_interval: Literal["epoch", "step"] = "epoch"
    refresh_every_n_epochs: int = 0
    keep_optimizer: bool = False
    source: ImageSource | None = None
    draws: StateDraws = field(default_factory=UniformDraws)
    partly_known: PartlyKnown = field(default_factory=PartlyKnown)
    text_draws: IterateDraws | StateDraws | None = None
    skip_prompts: str | None = None
    loss_weights: dict[str, float] = field(default_factory=dict)
    consistency_target: ConsistencyTarget | None = None

    def __post_init__(self) -> None:
        if self.source is not None:
            check_kind(self.source, ImageSource, "source")
        check_kind(self.draws, StateDraws, "draws")
        if self.text_draws is not None and not isinstance(self.text_draws, StateDraws):
            check_kind(self.text_draws, IterateDraws, "text_draws")
        if self.consistency_target is not None:
            check_kind(self.consistency_target, ConsistencyTarget, "consistency_target")
        segments = ("image_segments", "text_segments")
        counts = ("image_trajectories", "images_per_caption", "text_trajectories")
        for name in ("epochs", *segments, *counts):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} is {value}; expected at least 1, correct the stage")
        rate = self.learning_rate
        if rate is not None and not 0 < rate < math.inf:
            raise UserError(f"learning_rate is {rate}; expected a value above 0, correct the stage")
        if self.lr_interval == "step" and self.lr_scheduler is None:
            raise UserError(
                "lr_interval is step, but there is no lr_scheduler to step; name one, or leave "
                "lr_interval out"
            )
        if self.refresh_every_n_epochs < 0:
            raise UserError(
                f"refresh_every_n_epochs is {self.refresh_every_n_epochs}; expected 0 or more, "
                "correct the stage"
            )

    def describe(self, teacher_sampling: ImageSampling) -> str:
        """The stage in a few words, for people.

        Args:
            teacher_sampling: How the teacher is sampled, before this stage's changes.
        """
        sampling = self.sampling.over(teacher_sampling)
        return (
            f"{sampling.sampling_steps} steps, guidance {sampling.guidance_scale:g}, "
            f"{self.image_segments} image and {self.text_segments} text segments"
        )
