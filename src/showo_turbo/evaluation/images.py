"""How often generated images satisfy their prompts, by sampling steps and guidance."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..metrics.shapes import satisfies_shapes_prompt
from ..models.magvitv2 import MAGVITv2
from ..models.showo import Showo
from ..prompting import UnifiedPrompting
from ..sampling.parallel import ImageSampling, decode_image_codes
from ..text_tokenizer import TextTokenizer
from ..trajectories.segments import stateless_seed
from .intervals import Difference, Interval, paired_difference, stratified_interval

PromptMetadata = Mapping[str, Any]
"""A line of GenEval's metadata: `prompt` is the text, `tag` the category."""

ImageChecker = Callable[[Tensor, Sequence[PromptMetadata]], Sequence[bool]]
"""Says of each image `(batch, 3, height, width)` in [-1, 1] whether it satisfies its prompt."""


@dataclass(frozen=True)
class ImageScore:
    """How often a model's images satisfied their prompts in one sampling setting.

    Attributes:
        model: Name of the model, such as `teacher` or `student`.
        split: Name of the set of prompts.
        steps: Denoising steps.
        guidance: Guidance scale; 0 is without.
        categories: Category of each prompt.
        satisfied: Whether each prompt was satisfied, in the order of the prompts.
        seconds: Wall clock of drawing all of them, in batches, pixels included; None if not timed.
        batch_size: Prompts that were drawn at once.
    """

    model: str
    split: str
    steps: int
    guidance: float
    categories: tuple[str, ...]
    satisfied: tuple[bool, ...]
    seconds: float | None = field(default=None, compare=False)
    batch_size: int | None = field(default=None, compare=False)

    @property
    def n(self) -> int:
        """Number of prompts."""
        return len(self.satisfied)

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """Satisfied prompts and prompts of each category."""
        counts: dict[str, tuple[int, int]] = {}
        for category, satisfied in zip(self.categories, self.satisfied, strict=True):
            good, total = counts.get(category, (0, 0))
            counts[category] = (good + satisfied, total + 1)
        return counts

    @property
    def by_category(self) -> dict[str, float]:
        """Share of satisfied prompts in each category."""
        return {category: good / total for category, (good, total) in self.counts.items()}

    @property
    def score(self) -> float:
        """Mean of the categories' shares, each weighing the same."""
        shares = self.by_category.values()
        return sum(shares) / len(shares)

    @property
    def ci95(self) -> Interval:
        """95% interval of the score, see `stratified_interval`."""
        return stratified_interval(list(self.counts.values()))

    @property
    def seconds_per_image(self) -> float | None:
        """Wall clock of an image, on average over the batches; None if not timed."""
        return None if self.seconds is None else self.seconds / self.n

    def minus(self, other: "ImageScore") -> Difference:
        """Difference in score to another model or setting on the same prompts, in pairs."""
        return paired_difference(self.satisfied, other.satisfied, self.categories)

    def to_dict(self) -> dict[str, Any]:
        """The score for a report: figures, counts and interval, without the single outcomes."""
        low, high = self.ci95
        return {
            "model": self.model,
            "split": self.split,
            "steps": self.steps,
            "guidance": self.guidance,
            "score": round(self.score, 4),
            "n": self.n,
            "ci95": [round(low, 4), round(high, 4)],
            "by_category": {name: round(share, 4) for name, share in self.by_category.items()},
            "n_by_category": {name: total for name, (_, total) in self.counts.items()},
            "seconds_per_image": _rounded(self.seconds_per_image),
            "batch_size": self.batch_size,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ImageScore":
        """The score of a report, with the same counts; the order of the outcomes is lost.

        Args:
            values: What `to_dict` gave.
        """
        counts = {
            category: (round(values["by_category"][category] * total), total)
            for category, total in values["n_by_category"].items()
        }
        seconds = values.get("seconds_per_image")
        return cls(
            values["model"],
            values["split"],
            values["steps"],
            values["guidance"],
            tuple(name for name, (_, total) in counts.items() for _ in range(total)),
            tuple(i < good for good, total in counts.values() for i in range(total)),
            None if seconds is None else seconds * values["n"],
            values.get("batch_size"),
        )


@dataclass(frozen=True)
class GuidanceChoice:
    """The guidance scale with the best score at each number of steps.

    Attributes:
        chosen: Steps -> guidance scale.
        sweep: Every score that was compared.
    """

    chosen: dict[int, float]
    sweep: list[ImageScore]


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Put modules into eval mode and back into the mode that they were in."""
    modes = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module, training in zip(modules, modes, strict=True):
            module.train(training)


def prompt_seed(seed: int, index: int) -> int:
    """The seed of a prompt by its index, whatever the model and the setting."""
    return stateless_seed(seed, index, stream="images")


@torch.no_grad()
def draw_images(
    model: Showo,
    image_tokenizer: MAGVITv2,
    text_tokenizer: TextTokenizer,
    prompts: Sequence[str],
    sampling: ImageSampling,
    seeds: Sequence[int] | None = None,
) -> Tensor:
    """Draw one batch of images.

    Args:
        model: Network in eval mode.
        image_tokenizer: Decodes the codes, in eval mode.
        text_tokenizer: Encodes the prompts.
        prompts: Texts.
        sampling: Steps, guidance, temperatures.
        seeds: One a prompt; unused when both temperatures are 0.

    Returns:
        Pixels `(prompts, 3, height, width)` in [-1, 1].

    Raises:
        UserError: If a prompt is too long or an option is out of range.
    """
    prompting = UnifiedPrompting(model.vocabulary, model.config.max_text_length)
    ids = [prompting.encode_prompt(text_tokenizer, text) for text in prompts]
    return image_tokenizer.decode(decode_image_codes(model, ids, sampling, seeds))


def evaluate_images(
    model: Showo,
    image_tokenizer: MAGVITv2,
    text_tokenizer: TextTokenizer,
    prompts: Sequence[PromptMetadata],
    samplings: Sequence[ImageSampling],
    *,
    seed: int = 0,
    batch_size: int = 64,
    name: str = "model",
    split: str = "validation",
    check: ImageChecker = satisfies_shapes_prompt,
    progress: Callable[[int], None] | None = None,
) -> list[ImageScore]:
    """Draw every prompt in every setting and count how many are satisfied.

    Prompt i has the same seed whatever the model, the setting and the batch size.

    Args:
        model: Network to measure.
        image_tokenizer: Decodes its codes.
        text_tokenizer: Encodes the prompts.
        prompts: GenEval-style metadata, one a prompt.
        samplings: Settings to measure.
        seed: Of all prompts' seeds.
        batch_size: Prompts drawn at once.
        name: Name of the model in the scores.
        split: Name of the prompts in the scores.
        check: Judges the images; by default the exact checker of the shapes world.
        progress: Told how many prompts have been drawn, after each batch.

    Returns:
        One score a setting.

    Raises:
        UserError: If there are no prompts, one is too long, or an option is out of range.
    """
    if not prompts:
        raise UserError(f"the split {split!r} has no prompts; give at least one")
    seeds = [prompt_seed(seed, index) for index in range(len(prompts))]
    categories = tuple(str(entry["tag"]) for entry in prompts)
    scores = []
    with evaluating(model, image_tokenizer):
        for sampling in samplings:
            satisfied: list[bool] = []
            seconds = 0.0
            for start in range(0, len(prompts), batch_size):
                batch = prompts[start : start + batch_size]
                texts = [str(entry["prompt"]) for entry in batch]
                began = seconds_now(model)
                pixels = draw_images(
                    model,
                    image_tokenizer,
                    text_tokenizer,
                    texts,
                    sampling,
                    seeds[start : start + batch_size],
                )
                seconds += seconds_now(model) - began
                satisfied += check(pixels, batch)
                if progress is not None:
                    progress(len(batch))
            scores.append(
                ImageScore(
                    name,
                    split,
                    sampling.steps,
                    sampling.guidance_scale,
                    categories,
                    tuple(satisfied),
                    seconds,
                    min(batch_size, len(prompts)),
                )
            )
    return scores


def seconds_now(model: Showo) -> float:
    """Wall clock in seconds, once the model's device has done all that it was given."""
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter()


def guidance_samplings(
    sampling: ImageSampling, steps: Sequence[int], candidates: Sequence[float]
) -> list[ImageSampling]:
    """The settings of a sweep: every number of steps with every guidance scale."""
    return [
        replace(sampling, steps=count, guidance_scale=guidance)
        for count in steps
        for guidance in candidates
    ]


def choose_guidance(sweep: Sequence[ImageScore]) -> GuidanceChoice:
    """Choose the guidance scale with the best score at each number of steps.

    Of equally good ones the smallest is chosen. Measure the sweep (`guidance_samplings`) on prompts
    that are not those of the final test, or the choice flatters the model.

    Args:
        sweep: Scores of one model on one split.
    """
    best: dict[int, ImageScore] = {}
    for score in sorted(sweep, key=lambda score: score.guidance):
        if score.steps not in best or score.score > best[score.steps].score:
            best[score.steps] = score
    return GuidanceChoice({steps: score.guidance for steps, score in best.items()}, list(sweep))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
