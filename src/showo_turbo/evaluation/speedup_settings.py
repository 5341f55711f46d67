"""What a distillation is measured on: settings, questions, and the scores of each model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from ..errors import UserError
from ..models.protocols import ImageModel
from ..sampling.image_sampling import ImageSampling
from ..sampling.jacobi import Driver
from ..sampling.text_decoding import TextDecoding
from .images import PromptMetadata, guidance_samplings
from .targets import STUDENT, TEACHER
from .text import TextRecord


@dataclass(frozen=True)
class SpeedupSettings:
    """What is measured.

    Args:
        sampling_steps: Of the teacher and of the student.
        guidance_candidates: Guidance scales that the teacher may choose from, at each number of
            steps and together with the way of sampling.
        stage_sampling_steps: Those of the models between teacher and student, and of the student
            on the further prompts; without guidance. The teacher draws those with most steps.
        unguided_teacher: Whether the teacher is scored without guidance, too.
        student_guidance: Guidance scales of the student, besides none.
        prompts_per_category: Test prompts of each category; all if missing.
        validation_prompts_per_category: Prompts of each category for the teacher's choice.
        unseen_prompts_per_category: Prompts of each category of the further files.
        text_records: Questions, spread evenly over the file; all if missing.
        timed_texts: Questions that are timed one by one.
        drivers: How Jacobi decoding moves on, each measured, of the teacher the first alone; only
            `block` counts iterations.
        sampling: How the student is sampled; its steps and guidance are those of the settings
            above. The module's `sampling` by default.
        teacher_samplings: Ways of sampling that the teacher may choose from, at each number of
            steps; the module's `teacher_sampling` alone by default.
        decoding: How long answers may be, and how many tokens are decoded together; the module's
            `decoding` by default.
        batch_size: Samples decoded at once.
        seed: Of all random numbers.
    """

    sampling_steps: tuple[int, ...] = (16, 8, 4, 2)
    guidance_candidates: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
    stage_sampling_steps: tuple[int, ...] = (4, 2)
    unguided_teacher: bool = True
    student_guidance: tuple[float, ...] = ()
    prompts_per_category: int | None = 60
    validation_prompts_per_category: int | None = 12
    unseen_prompts_per_category: int | None = 20
    text_records: int | None = 400
    timed_texts: int = 16
    drivers: tuple[Driver, ...] = ("block", "window")
    sampling: ImageSampling | None = None
    teacher_samplings: tuple[ImageSampling, ...] = ()
    decoding: TextDecoding | None = None
    batch_size: int = 64
    seed: int = 0

    def filled_in(
        self, sampling: ImageSampling, teacher_sampling: ImageSampling, decoding: TextDecoding
    ) -> Self:
        """The settings with a module's own ways of sampling and decoding, where they name none.

        Args:
            sampling: How its student is sampled.
            teacher_sampling: How its teacher is.
            decoding: How its texts are decoded.
        """
        return replace(
            self,
            sampling=self.sampling or sampling,
            teacher_samplings=self.teacher_samplings or (teacher_sampling,),
            decoding=self.decoding or decoding,
        )

    @property
    def student_sampling(self) -> ImageSampling:
        """How the student is sampled, apart from steps and guidance."""
        return self.sampling or ImageSampling()

    def teacher_candidates(self) -> list[ImageSampling]:
        """What the teacher chooses from."""
        return [
            candidate
            for sampling in self.teacher_samplings or (self.student_sampling,)
            for candidate in guidance_samplings(
                sampling, self.sampling_steps, self.guidance_candidates
            )
        ]

    def check(self, model: ImageModel) -> None:
        """Refuse what the model cannot do, before anything is trained or measured.

        Raises:
            UserError: Naming the value.
        """
        if not self.sampling_steps or not self.guidance_candidates:
            raise UserError(
                "sampling_steps and guidance_candidates are empty; give at least one of each"
            )
        config = model.config
        students = guidance_samplings(
            self.student_sampling,
            (*self.sampling_steps, *self.stage_sampling_steps),
            (0.0, *self.student_guidance),
        )
        for sampling in (*self.teacher_candidates(), *students):
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
    def of(cls, name: str, settings: SpeedupSettings, teacher: Mapping[int, ImageSampling]) -> Self:
        """The settings of the teacher, of the student, or of a stage between.

        Args:
            name: The model.
            settings: What was asked for.
            teacher: What the teacher has chosen at each number of steps.
        """
        if name == TEACHER:
            shown = [teacher[steps] for steps in sorted(teacher, reverse=True)]
            if not settings.unguided_teacher:
                return cls(shown, shown[:1], shown)
            unguided = [sampling.with_guidance(0.0) for sampling in shown]
            guided = [sampling for sampling in shown if sampling.guidance_scale > 0]
            return cls(unguided + guided, shown[:1], shown)
        sampling = settings.student_sampling
        stage = guidance_samplings(sampling, settings.stage_sampling_steps, [0.0])
        if name != STUDENT:
            return cls(stage, [], [])
        unguided = guidance_samplings(sampling, settings.sampling_steps, [0.0])
        scales = [scale for scale in dict.fromkeys(settings.student_guidance) if scale > 0]
        guided = [
            setting
            for scale in scales
            for setting in guidance_samplings(sampling, settings.sampling_steps, [scale])
        ]
        most = max(settings.sampling_steps)
        fewer = [entry for entry in unguided if entry.sampling_steps < most]
        return cls(unguided + guided, stage, fewer or unguided)
