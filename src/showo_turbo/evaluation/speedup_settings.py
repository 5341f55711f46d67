"""What a distillation is measured on: settings, questions, and the scores of each model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from ..errors import UserError
from ..models.showo import Showo
from ..sampling.jacobi import Driver
from ..sampling.parallel import ImageSampling
from .images import PromptMetadata, guidance_samplings
from .targets import STUDENT, TEACHER
from .text import TextRecord


@dataclass(frozen=True)
class SpeedupSettings:
    """What is measured.

    Args:
        steps: Sampling steps of the teacher and of the student.
        guidance_candidates: Guidance scales that the teacher may choose from, at each number of
            steps.
        stage_steps: Sampling steps of the models between teacher and student, and of the student
            on the further prompts; without guidance. The teacher draws those with most steps.
        student_guidance: Guidance scales of the student, besides none.
        prompts_per_category: Test prompts of each category; all if missing.
        validation_prompts_per_category: Prompts of each category for choosing the guidance.
        unseen_prompts_per_category: Prompts of each category of the further files.
        text_records: Questions, spread evenly over the file; all if missing.
        timed_texts: Questions that are timed one by one.
        max_new_tokens: Longest answer.
        block_size: Text tokens that are decoded together.
        driver: How Jacobi decoding moves on; only `block` counts iterations a block.
        sampling: How images are sampled; its steps and guidance are those of the settings above.
        teacher_sampling: How the teacher's are, if otherwise. A student that was distilled from
            greedy trajectories is best without noise, its teacher often with some.
        batch_size: Samples decoded at once.
        seed: Of all random numbers.
    """

    steps: tuple[int, ...] = (16, 8, 4, 2)
    guidance_candidates: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
    stage_steps: tuple[int, ...] = (4, 2)
    student_guidance: tuple[float, ...] = ()
    prompts_per_category: int | None = 60
    validation_prompts_per_category: int | None = 12
    unseen_prompts_per_category: int | None = 20
    text_records: int | None = 400
    timed_texts: int = 16
    max_new_tokens: int = 96
    block_size: int = 16
    driver: Driver = "block"
    sampling: ImageSampling = field(default_factory=ImageSampling)
    teacher_sampling: ImageSampling | None = None
    batch_size: int = 64
    seed: int = 0

    def sampling_of(self, name: str) -> ImageSampling:
        """How a model's images are sampled."""
        return (self.teacher_sampling or self.sampling) if name == TEACHER else self.sampling

    def check(self, model: Showo) -> None:
        """Refuse what the model cannot do, before anything is trained or measured.

        Raises:
            UserError: Naming the value.
        """
        if not self.steps or not self.guidance_candidates:
            raise UserError("steps and guidance_candidates are empty; give at least one of each")
        config = model.config
        for base in (self.sampling, self.sampling_of(TEACHER)):
            for sampling in guidance_samplings(
                base,
                (*self.steps, *self.stage_steps),
                (*self.guidance_candidates, *self.student_guidance),
            ):
                sampling.check(config.image_tokens, config.codebook_size)


@dataclass(frozen=True)
class EvaluationData:
    """What the models are asked. None of it was seen in training.

    Attributes:
        validation: Prompts to choose the guidance on.
        test: Prompts to score on, with the name of their split.
        further: More prompts by the name of their split, reported on their own.
        texts: Questions about images.
    """

    validation: Sequence[PromptMetadata] = ()
    test: tuple[str, Sequence[PromptMetadata]] = ("test", ())
    further: Mapping[str, Sequence[PromptMetadata]] = field(default_factory=dict)
    texts: Sequence[TextRecord] = ()


@dataclass(frozen=True)
class SamplingPlan:
    """The settings in which one model draws.

    Attributes:
        test: On the test prompts.
        further: On each of the further splits.
        shown: In the image grid: the teacher with its guidance at every number of steps, the
            student without and with fewer.
    """

    test: list[ImageSampling]
    further: list[ImageSampling]
    shown: list[ImageSampling]

    @classmethod
    def of(cls, name: str, settings: SpeedupSettings, guidance: Mapping[int, float]) -> Self:
        """The settings of the teacher, of the student, or of a stage between.

        Args:
            name: The model.
            settings: What was asked for.
            guidance: The teacher's guidance scale at each number of steps.
        """
        unguided = [(steps, 0.0) for steps in settings.steps]
        stage = [(steps, 0.0) for steps in settings.stage_steps]
        if name == TEACHER:
            chosen = sorted(guidance.items(), reverse=True)
            test = unguided + [(steps, scale) for steps, scale in chosen if scale > 0]
            further, shown = chosen[:1], chosen
        elif name == STUDENT:
            scales = [scale for scale in dict.fromkeys(settings.student_guidance) if scale > 0]
            test = unguided + [(steps, scale) for scale in scales for steps in settings.steps]
            further = stage
            shown = [pair for pair in unguided if pair[0] < max(settings.steps)] or unguided
        else:
            test, further, shown = stage, [], []

        def samplings(pairs: Sequence[tuple[int, float]]) -> list[ImageSampling]:
            return [
                replace(settings.sampling_of(name), steps=steps, guidance_scale=scale)
                for steps, scale in pairs
            ]

        return cls(samplings(test), samplings(further), samplings(shown))
