"""How often generated images satisfy their prompts, by sampling steps and guidance."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from ..errors import UserError
from ..metrics.names import metric_names
from ..models.magvitv2 import MAGVITv2
from ..models.modes import evaluating
from ..models.prompts import encode_prompts
from ..models.protocols import ImageModel
from ..sampling.image_sampling import ImageSampling
from ..sampling.parallel import decode_image_codes
from ..shapes.metric import satisfies_shapes_prompt
from ..shapes.prompts import Prompt
from ..text_tokenizer import TextTokenizer
from ..utils.random import stateless_seed
from .image_scores import ImageScore

PromptMetadata = Mapping[str, Any]
"""A line of GenEval's metadata: `prompt` is the text, `tag` the category."""

ImageChecker = Callable[[Tensor, Sequence[PromptMetadata]], Sequence[bool]]
"""Says of each image `(batch, 3, height, width)` in [-1, 1] whether it satisfies its prompt."""


def prompt_seed(seed: int, index: int) -> int:
    """The seed of a prompt by its index, whatever the model and the setting."""
    return stateless_seed(seed, index, stream="images")


@torch.no_grad()
def draw_images(
    model: ImageModel,
    image_tokenizer: MAGVITv2,
    text_tokenizer: TextTokenizer | None,
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
    ids = encode_prompts(model, text_tokenizer, prompts)
    return image_tokenizer.decode(decode_image_codes(model, ids, sampling, seeds))


def evaluate_images(
    model: ImageModel,
    image_tokenizer: MAGVITv2,
    text_tokenizer: TextTokenizer | None,
    prompts: Sequence[PromptMetadata],
    samplings: Sequence[ImageSampling],
    *,
    seed: int = 0,
    batch_size: int = 64,
    name: str = "model",
    split: str = "validation",
    check: ImageChecker | None = satisfies_shapes_prompt,
    metrics: Sequence[Metric] = (),
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
        metrics: More scores: each is reset, updated with pixels and metadata, and computed. They
            move to the model's device.
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
    names = metric_names(metrics)
    scores = []
    with evaluating(model, image_tokenizer):
        for sampling in samplings:
            satisfied: list[bool] = []
            seconds = 0.0
            for metric in metrics:
                metric.to(model.device).reset()
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
                satisfied += [] if check is None else check(pixels, batch)
                for metric in metrics:
                    metric.update(pixels, batch)
                if progress is not None:
                    progress(len(batch))
            scores.append(
                ImageScore(
                    name,
                    split,
                    sampling.sampling_steps,
                    sampling.guidance_scale,
                    categories,
                    tuple(satisfied),
                    seconds,
                    min(batch_size, len(prompts)),
                    sampling.top_k,
                    {
                        key: float(metric.compute())
                        for key, metric in zip(names, metrics, strict=True)
                    },
                    _further_options(sampling),
                )
            )
    return scores


def can_judge(prompts: Sequence[PromptMetadata]) -> bool:
    """Whether the checker of the shapes world understands all of these prompts."""
    try:
        for entry in prompts:
            Prompt.from_metadata(dict(entry))
    except (UserError, KeyError, TypeError):
        return False
    return True


def seconds_now(model: ImageModel) -> float:
    """Wall clock in seconds, once the model's device has done all that it was given."""
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter()


def guidance_samplings(
    sampling: ImageSampling, steps: Sequence[int], candidates: Sequence[float]
) -> list[ImageSampling]:
    """The settings of a sweep: every number of steps with every guidance scale."""
    return [
        replace(sampling, sampling_steps=count).with_guidance(guidance)
        for count in steps
        for guidance in candidates
    ]


def choose_sampling(
    sweep: Sequence[tuple[ImageSampling, ImageScore]],
) -> dict[int, ImageSampling]:
    """Choose the setting with the best score at each number of steps.

    Of equally good ones the one with the least guidance is chosen. Measure the sweep on prompts
    that are not those of the final test, or the choice flatters the model.

    Args:
        sweep: Settings, each with the score of one model on one split.

    Returns:
        Steps -> setting.
    """
    best: dict[int, tuple[ImageSampling, ImageScore]] = {}
    for sampling, score in sorted(sweep, key=lambda pair: pair[0].guidance_scale):
        steps = sampling.sampling_steps
        if steps not in best or score.score > best[steps][1].score:
            best[steps] = sampling, score
    return {steps: sampling for steps, (sampling, _) in best.items()}


def _further_options(sampling: ImageSampling) -> dict[str, Any]:
    """What a score says of its setting, besides steps, guidance and top-k."""
    plain = asdict(ImageSampling())
    said = ("sampling_steps", "guidance_scale", "top_k")
    return {
        name: value
        for name, value in asdict(sampling).items()
        if name not in said and value != plain[name]
    }
