"""One model's scores, through the cache and with a progress bar."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from rich.progress import Progress

from ..inference.loaded_model import LoadedModel
from ..sampling.editing import ImageEditing
from ..sampling.image_sampling import ImageSampling
from ..sampling.parallel import gives_one_image
from ..sampling.text_decoding import TextDecoding
from ..trajectories.checker import PromptMetadata
from ..utils.hashing import fingerprint_lines, fingerprint_module, fingerprint_tensors
from ..utils.share import Share
from .abilities import ABILITIES, AbilityCase, AbilityChecker
from .ability_scores import AbilityScore, evaluate_ability
from .cache import Score, ScoreCache
from .data import Question
from .identity import describe_options, fingerprint_cases, fingerprint_metric
from .image_scores import ImageScore
from .images import evaluate_images
from .plan import TEACHER, EvaluationPlan
from .text import TextRecord, compared_decodings, evaluate_text, judge_answers
from .text_scores import TextScore
from .variety import Variety, measure_variety


@dataclass(frozen=True)
class Measurement:
    """Measures one model.

    Attributes:
        name: Name of the model in the scores.
        bundle: The model.
        plan: What is measured.
        cache: Where finished scores are.
        share: The samples that this process measures.
        bars: Where progress is shown and scores are printed.
    """

    name: str
    bundle: LoadedModel
    plan: EvaluationPlan
    cache: ScoreCache
    share: Share
    bars: Progress

    def images(
        self,
        split: str,
        prompts: Sequence[PromptMetadata],
        samplings: Sequence[ImageSampling],
        varied: bool = False,
    ) -> list[ImageScore]:
        """Score prompts in some settings; no prompts give no scores.

        Args:
            split: Name of the prompts.
            prompts: All of them.
            samplings: The settings.
            varied: Whether to measure the images' variety too, if the plan asks for it.
        """
        if not prompts:
            return []
        scores = [self._image_score(split, prompts, sampling) for sampling in samplings]
        if not (varied and self.plan.variety_prompts):
            return scores
        return [
            replace(score, variety=self._variety(split, prompts, sampling))
            for score, sampling in zip(scores, samplings, strict=True)
        ]

    def abilities(self, samplings: Sequence[ImageSampling]) -> list[AbilityScore]:
        """Score the changing of images, if the plan asks for it, beside regenerating them."""
        if not self.plan.abilities:
            return []
        checker = self.plan.ability_checker()
        return [
            self.ability(checker, cases, sampling, regenerate)
            for ability in ABILITIES
            for cases in [checker.ability_cases(ability, self.plan.abilities)]
            for sampling in samplings
            for regenerate in (False, True)
        ]

    def ability(
        self,
        checker: AbilityChecker,
        cases: Sequence[AbilityCase],
        sampling: ImageSampling,
        regenerate: bool,
        editing: ImageEditing = ImageEditing(),
    ) -> AbilityScore:
        """Score the changing of some images in one setting, see `evaluate_ability`."""
        score = self._scored(
            AbilityScore,
            f"{_setting(sampling)}, {cases[0].ability}{', regenerated' * regenerate}",
            len(cases),
            lambda: {
                "cases": fingerprint_cases(cases),
                "checker": describe_options(checker),
                "regenerate": regenerate,
                "editing": asdict(editing) if cases[0].ability == "editing" else None,
                **asdict(sampling.resolved),
            },
            lambda how: evaluate_ability(
                self.bundle,
                checker,
                cases,
                sampling,
                regenerate=regenerate,
                editing=editing,
                name=self.name,
                **how,
            ),
            lambda score: (
                f"{score.share():.3f} (prompt {score.share('satisfied'):.3f}, rest "
                f"{score.share('unchanged'):.3f}, n = {score.n})"
            ),
        )
        return replace(score, model=self.name)

    def texts(self, records: Sequence[TextRecord]) -> list[TextScore]:
        """Score answers in all ways of decoding; no questions give no scores.

        The teacher answers in its own ways first, and then in the student's.
        """
        if not records:
            return []
        plan = self.plan
        ways = compared_decodings(plan.answering, plan.drivers)
        if self.name == TEACHER:
            ways = [*compared_decodings(plan.teacher_answering, plan.drivers), *ways]
        return [self._text_score(records, decoding) for decoding in dict.fromkeys(ways)]

    def questions(self, benchmark: str, questions: Sequence[Question]) -> list[TextScore]:
        """Score answers to the questions of a benchmark by its metric."""
        records, truths = zip(*questions, strict=True)
        return [judge_answers(score, benchmark, truths) for score in self.texts(records)]

    def _image_score(
        self, split: str, prompts: Sequence[PromptMetadata], sampling: ImageSampling
    ) -> ImageScore:
        plan = self.plan
        score = self._scored(
            ImageScore,
            _setting(sampling),
            len(prompts),
            lambda: self._image_key(
                split, prompts, sampling, metrics=[*map(fingerprint_metric, plan.metrics)]
            ),
            lambda how: evaluate_images(
                self.bundle,
                prompts,
                sampling,
                name=self.name,
                split=split,
                checker=plan.checker,
                metrics=plan.metrics,
                **how,
            ),
            lambda score: f"{_figures_of(score)} ({split}, n = {score.n})",
        )
        return replace(score, model=self.name)

    def _variety(
        self, split: str, prompts: Sequence[PromptMetadata], sampling: ImageSampling
    ) -> Variety:
        plan = self.plan
        count, images = min(plan.variety_prompts, len(prompts)), plan.variety_images
        return self._scored(
            Variety,
            f"{_setting(sampling)}, variety",
            count,
            lambda: self._image_key(split, prompts, sampling, count=count, images=images),
            lambda how: measure_variety(
                self.bundle,
                prompts,
                sampling,
                count=count,
                images=images,
                checker=plan.checker,
                **how,
            ),
            lambda variety: f"{_variety_of(variety)} ({split}, n = {variety.n})",
            each=1 if gives_one_image(self.bundle.network, sampling) else images,
        )

    def _image_key(
        self,
        split: str,
        prompts: Sequence[PromptMetadata],
        sampling: ImageSampling,
        **parts: Any,
    ) -> dict[str, Any]:
        """What a measurement of images depends on."""
        return {
            "split": split,
            "prompts": fingerprint_lines(dict(entry) for entry in prompts),
            "checker": describe_options(self.plan.checker),
            **parts,
            **asdict(sampling.resolved),
        }

    def _text_score(self, records: Sequence[TextRecord], decoding: TextDecoding) -> TextScore:
        way = f", {decoding.driver}" * (decoding.method == "jacobi")
        if decoding.method == "block_diffusion":
            way = f", {decoding.denoising.steps} steps"
        score = self._scored(
            TextScore,
            f"answers, {decoding.method}{way}",
            len(records),
            lambda: {
                "records": self._fingerprint_of(records),
                "batch_size": self.plan.batch_size,
                "timed": self.plan.timed_texts,
                **asdict(decoding),
            },
            lambda how: evaluate_text(
                self.bundle,
                records,
                decoding=decoding,
                timed=self.plan.timed_texts,
                name=self.name,
                **how,
            ),
            lambda score: (
                f"{score.exact_match:.3f} exact, {score.tokens_per_forward:.2f} tokens per "
                f"forward pass (n = {score.n})"
            ),
        )
        return replace(score, model=self.name)

    def _fingerprint_of(self, records: Sequence[TextRecord]) -> str:
        """Of questions and their images, of which every process has its own."""
        own = [records[index].image for index in self.share.indices(len(records))]
        images = self.share.gather([fingerprint_tensors({"codes": image}) for image in own])
        rows = zip(images, records, strict=True)
        return fingerprint_lines([image, row.question, row.answer] for image, row in rows)

    def _scored(
        self,
        kind: type[Score],
        setting: str,
        samples: int,
        depends_on: Callable[[], dict[str, Any]],
        measure: Callable[[dict[str, Any]], Score],
        shown: Callable[[Score], str],
        each: int = 1,
    ) -> Score:
        """A score from the cache, or else measured with a bar; printed once it is there.

        The cache does not know the names of models: two of them may hold the same weights.

        Args:
            kind: Of the score.
            setting: What is measured, in words.
            samples: How many there are, over all processes.
            depends_on: What the score depends on besides model and seed; asked where it is kept.
            measure: Measures it, given the arguments that all measurements have in common.
            shown: The score in words.
            each: What a sample counts in the bar.
        """
        plan, title = self.plan, f"{self.name}, {setting}"
        key = {}
        if self.cache.folder is not None:
            key = {"model": self._fingerprint, "seed": plan.seed, **depends_on()}

        def measured() -> Score:
            with self._bar(title, len(self.share.indices(samples)) * each) as advance:
                how = {"seed": plan.seed, "batch_size": plan.batch_size}
                return measure({**how, "share": self.share, "progress": advance})

        score = self.cache.get(kind, key, measured)
        self.bars.console.print(f"{title}: {shown(score)}")
        return score

    @cached_property
    def _fingerprint(self) -> str:
        """Of all that the scores depend on, apart from questions and ways of decoding."""
        bundle = self.bundle
        parts = [fingerprint_module(net) for net in (bundle.network, bundle.image_tokenizer)]
        if bundle.text_tokenizer is not None:
            parts.append(bundle.text_tokenizer.fingerprint)
        return fingerprint_lines(parts)

    @contextmanager
    def _bar(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar for one score, which is gone when the score is there."""
        task = self.bars.add_task(title, total=total)
        try:
            yield lambda done: self.bars.advance(task, done)
        finally:
            self.bars.remove_task(task)


def _setting(sampling: ImageSampling) -> str:
    return f"{sampling.sampling_steps} steps, guidance {sampling.guidance_scale:g}"


def _figures_of(score: ImageScore) -> str:
    """The share of satisfied prompts and the metrics, or else the time that an image took."""
    values = {"": score.score} if score.judged else {}
    values |= dict(score.metrics)
    found = [f"{name} {value:.3f}".strip() for name, value in values.items()]
    if not found and score.seconds_per_image is not None:
        found = [f"{1000 * score.seconds_per_image:.1f} ms an image"]
    return ", ".join(found)


def _variety_of(variety: Variety) -> str:
    (distinct, _), (entropy, _) = variety.figures.values()
    images = f"{distinct:.2f} distinct {variety.counted} of {variety.images} images"
    return f"{images}, {entropy:.3f} nats"
