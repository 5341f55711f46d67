"""What is generated and answered in an evaluation."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self, get_args

from torchmetrics import Metric

from ..errors import UserError, check_kind
from ..metrics.names import check_metrics, metric_names
from ..models.model_config import ModelConfig
from ..sampling.image_sampling import ImageSampling
from ..sampling.jacobi import Driver
from ..sampling.options import check_seed, check_whole
from ..sampling.text_decoding import TextDecoding
from ..trajectories.checker import Checker
from .abilities import AbilityChecker

Table = Literal["images", "text", "top_k"]

TEACHER, STUDENT = "teacher", "student"
"""Names of the two models that every distillation has."""


@dataclass(frozen=True)
class EvaluationPlan:
    """What is generated and answered: in validation, in a test and in the report at a run's end.

    Args:
        sampling_steps: Of the images of teacher and student.
        guidance_scales: Guidance scales of the student, and of a teacher that does not choose its
            own, with every number of steps; 0 for none.
        guidance_candidates: Guidance scales that the teacher of a report chooses from, at each
            number of steps and together with the way of sampling.
        unguided_teacher: Whether a teacher that has chosen is scored without guidance, too.
        stage_sampling_steps: Those of the models between teacher and student, and of the student on
            the further prompts; without guidance. The teacher uses those with most steps.
        fit_sampling_steps: Those of the student, without guidance, in the validations of `fit`.
        tables: What to measure: `images`, scores by steps and guidance (the paper's Tables 1, 5 and
            6); `text`, scores and speed by decoding method (Tables 2 and 7); `top_k`, scores by
            steps and top-k of codes that are sampled at temperature 1 (Table 4). Within `fit` only
            the first two.
        top_ks: The values of k in that table.
        drivers: How Jacobi decoding moves on, each measured; only `block` counts iterations.
        timed_texts: Questions that are timed one by one.
        checker: Judges the images of prompts that it understands, such as `ShapesChecker`. Other
            prompts are for the metrics alone. Without both, images are only generated and timed.
        metrics: More scores of the images, such as `CLIPScore`, `HPSv2`, `ImageReward`, `GenEval`
            or `FID`. Without a checker the teacher chooses by the first one, and
            with neither it has the first of its ways.
        teacher: Another model to measure beside the student in `validate` and `test`: `shapes`, a
            folder or a hub id.
        sampling: How the student's images are sampled, apart from steps and guidance; the module's
            `sampling` by default.
        teacher_samplings: Ways of sampling that the teacher chooses from; one that does not choose
            has the first. The module's `teacher_sampling` alone by default.
        decoding: How long answers may be, and how many tokens are decoded together; the module's
            `decoding` by default.
        teacher_decoding: How the teacher answers beside that; the module's `teacher_decoding` by
            default.
        prompts_per_category: Of a report, test prompts of each category; all if missing. In
            `validate` and `test` the data module says which prompts there are.
        validation_prompts_per_category: Prompts of each category for the teacher's choice.
        unseen_prompts_per_category: Prompts of each category of the further files.
        text_records: Of a report, questions, spread evenly over the file; all if missing.
        variety_prompts: Prompts of each split, spread over its categories, that teacher and student
            generate from several seeds in every setting of their images, see `Variety`; 0 for none.
        variety_images: Seeds of each of them.
        abilities: Images that teacher and student inpaint, extrapolate and edit, of each so many,
            in every setting in which they are shown; 0 for none. The checker makes them, and tells
            what became of them: it must be an `AbilityChecker`, such as `ShapesChecker`.
        batch_size: Samples decoded at once.
        seed: Of all random numbers.

    Raises:
        UserError: If an option is out of any model's range.
    """

    sampling_steps: tuple[int, ...] = (16, 8, 4, 2)
    guidance_scales: tuple[float, ...] = (0.0, 1.0)
    guidance_candidates: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
    unguided_teacher: bool = True
    stage_sampling_steps: tuple[int, ...] = (4, 2)
    fit_sampling_steps: tuple[int, ...] = (4,)
    tables: tuple[Table, ...] = ("images", "text")
    top_ks: tuple[int, ...] = (1, 5, 20, 100)
    drivers: tuple[Driver, ...] = get_args(Driver)
    timed_texts: int = 16
    checker: Checker | None = None
    metrics: tuple[Metric, ...] = ()
    teacher: str | None = None
    sampling: ImageSampling | None = None
    teacher_samplings: tuple[ImageSampling, ...] = ()
    decoding: TextDecoding | None = None
    teacher_decoding: TextDecoding | None = None
    prompts_per_category: int | None = 60
    validation_prompts_per_category: int | None = 12
    unseen_prompts_per_category: int | None = 20
    text_records: int | None = 400
    variety_prompts: int = 0
    variety_images: int = 8
    abilities: int = 0
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        for name in (
            "sampling_steps",
            "guidance_scales",
            "guidance_candidates",
            "fit_sampling_steps",
        ):
            if not getattr(self, name):
                raise UserError(f"{name} of the evaluation is empty; expected at least one")
        at_least = {"batch_size": 1, "variety_prompts": 0, "variety_images": 2, "abilities": 0}
        for name, least in at_least.items():
            value = getattr(self, name)
            check_whole(**{name: value})
            if value < least:
                raise UserError(f"{name} of the evaluation is {value}; it must be at least {least}")
        check_seed(self.seed)
        if self.checker is not None:
            check_kind(self.checker, Checker, "checker of the evaluation")
        check_metrics(self.metrics)

    def filled_in(self, other: "EvaluationPlan") -> Self:
        """The plan with another's ways of sampling, decoding and judging, where it names none."""
        names = ("sampling", "teacher_samplings", "decoding", "teacher_decoding", "checker")
        return replace(
            self,
            metrics=self.metrics or other.metrics,
            **{name: getattr(self, name) or getattr(other, name) for name in names},
        )

    def during_fit(self) -> Self:
        """The small plan for validation between epochs."""
        return replace(
            self,
            sampling_steps=self.fit_sampling_steps,
            guidance_scales=(0.0,),
            tables=tuple(name for name in self.tables if name != "top_k"),
            teacher=None,
            abilities=0,
        )

    def check(self, config: ModelConfig) -> None:
        """Raise if a model cannot do it, before anything is trained, read or generated.

        Args:
            config: Sizes of the model.

        Raises:
            UserError: Naming the value.
        """
        candidates = {entry.sampling_steps: entry for entry in self.teacher_candidates()}
        plans = (
            ModelPlan.of(TEACHER, self, {}),
            ModelPlan.of(TEACHER, self, candidates),
            ModelPlan.of(STUDENT, self, {}),
            ModelPlan.of(STUDENT, self.during_fit(), {}),
        )
        samplings = [entry for plan in plans for entry in (*plan.images, *plan.further)]
        if "top_k" in self.tables:
            samplings += plans[0].top_k
        for sampling in (*self.teacher_candidates(), *samplings):
            sampling.check(config)
        for decoding in (self.answering, self.teacher_answering):
            decoding.check()
        if self.abilities:
            self.ability_checker()

    def ability_checker(self) -> AbilityChecker:
        """The checker, as one that makes images to change.

        Raises:
            UserError: If it is not one.
        """
        if not isinstance(self.checker, AbilityChecker):
            kind = "missing" if self.checker is None else f"a {type(self.checker).__name__}"
            raise UserError(
                f"abilities of the evaluation is {self.abilities}, but its checker is {kind}; "
                "expected an AbilityChecker, such as ShapesChecker: name one, or set abilities to 0"
            )
        return self.checker

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON values; checker and metrics by the names that tables call them."""
        found = asdict(replace(self, checker=None, metrics=()))
        checker = None if self.checker is None else type(self.checker).__name__
        return found | {"checker": checker, "metrics": metric_names(self.metrics)}

    @property
    def student_sampling(self) -> ImageSampling:
        """How the student is sampled, apart from steps and guidance."""
        return self.sampling or ImageSampling()

    @property
    def answering(self) -> TextDecoding:
        """How texts are decoded."""
        return self.decoding or TextDecoding()

    @property
    def teacher_answering(self) -> TextDecoding:
        """How the teacher decodes texts by itself."""
        return self.teacher_decoding or self.answering

    def own_teacher_sampling(self) -> dict[int, ImageSampling]:
        """How a teacher is sampled that nothing chooses for, by its numbers of steps."""
        sampling, *_ = self.teacher_samplings or (self.student_sampling,)
        scale = sampling.guidance_scale
        ways = guidance_samplings(sampling, self.sampling_steps, [scale])
        return {entry.sampling_steps: entry for entry in ways}

    def teacher_candidates(self) -> list[ImageSampling]:
        """What the teacher chooses from."""
        return [
            candidate
            for sampling in self.teacher_samplings or (self.student_sampling,)
            for candidate in guidance_samplings(
                sampling, self.sampling_steps, self.guidance_candidates
            )
        ]


@dataclass(frozen=True)
class ModelPlan:
    """The sampling settings of one model.

    Attributes:
        images: On the prompts.
        top_k: Likewise, for the table of top-k.
        further: On each of the further splits.
        shown: In the image grid: the teacher with its guidance at every number of steps, the
            student without and with fewer.
        changing: In which images are changed: likewise, but the student with all numbers of steps.
    """

    images: list[ImageSampling]
    top_k: list[ImageSampling]
    further: list[ImageSampling]
    shown: list[ImageSampling]
    changing: list[ImageSampling]

    @classmethod
    def of(cls, name: str, plan: EvaluationPlan, chosen: Mapping[int, ImageSampling]) -> Self:
        """The settings of the teacher, of the student, or of a stage between.

        Args:
            name: The model.
            plan: What was asked for.
            chosen: What the teacher has chosen at each number of steps; empty if it did not.
        """
        sampling = plan.student_sampling
        stage = guidance_samplings(sampling, plan.stage_sampling_steps, [0.0])
        top_k = [
            replace(setting, token_temperature=1.0, top_k=top_k)
            for top_k in plan.top_ks
            for setting in guidance_samplings(sampling, plan.sampling_steps, [0.0])
        ]
        if name == TEACHER and chosen:
            shown = [chosen[steps] for steps in sorted(chosen, reverse=True)]
            unguided = [entry.with_guidance(0.0) for entry in shown]
            guided = [entry for entry in shown if entry.guidance_scale > 0]
            images = unguided + guided if plan.unguided_teacher else shown
            return cls(images, top_k, shown[:1], shown, shown)
        if name == TEACHER and plan.teacher_samplings:
            sampling = plan.teacher_samplings[0]
        images = [
            setting
            for scale in dict.fromkeys(plan.guidance_scales)
            for setting in guidance_samplings(sampling, plan.sampling_steps, [scale])
        ]
        if name == TEACHER:
            return cls(images, top_k, images[:1], images, images)
        if name != STUDENT:
            return cls(stage, [], [], [], [])
        unguided = [entry for entry in images if entry.guidance_scale == 0] or images
        most = max(plan.sampling_steps)
        fewer = [entry for entry in unguided if entry.sampling_steps < most]
        return cls(images, top_k, stage, fewer or unguided, unguided)


def guidance_samplings(
    sampling: ImageSampling, steps: Iterable[int], candidates: Iterable[float]
) -> list[ImageSampling]:
    """The settings of a sweep: every number of steps with every guidance scale.

    Args:
        sampling: All else.
        steps: Numbers of sampling steps.
        candidates: Guidance scales.
    """
    return [
        replace(sampling, sampling_steps=count).with_guidance(guidance)
        for count in steps
        for guidance in candidates
    ]
