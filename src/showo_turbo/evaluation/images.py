"""How often generated images satisfy their prompts, by sampling steps and guidance."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from ..errors import UserError
from ..inference.loaded_model import LoadedModel, seconds_now
from ..metrics.names import metric_names, metric_value
from ..models.modes import evaluating
from ..sampling.image_sampling import ImageSampling
from ..sampling.parallel import decode_image_codes
from ..trajectories.checker import Checker, PromptMetadata, marks_of
from ..utils.random import stateless_seed
from ..utils.share import Share
from .checker import judging
from .image_scores import ImageScore


def prompt_seed(seed: int, index: int) -> int:
    """The seed of a prompt by its index, whatever the model and the setting."""
    return stateless_seed(seed, index, stream="images")


@torch.no_grad()
def draw_images(
    bundle: LoadedModel,
    prompts: Sequence[str],
    sampling: ImageSampling,
    seeds: Sequence[int] | None = None,
) -> Tensor:
    """Generate one batch of images.

    Args:
        bundle: The networks, in eval mode.
        prompts: Texts.
        sampling: Steps, guidance, temperatures.
        seeds: One a prompt; unused when both temperatures are 0.

    Returns:
        Pixels `(prompts, 3, height, width)` in [-1, 1], or `(prompts, 3, frames, height, width)`.

    Raises:
        UserError: If a prompt is too long or an option is out of range.
    """
    codes = decode_image_codes(bundle.network, bundle.encode_prompts(prompts), sampling, seeds)
    return bundle.decode_codes(codes)


def evaluate_images(
    bundle: LoadedModel,
    prompts: Sequence[PromptMetadata],
    sampling: ImageSampling,
    *,
    seed: int = 0,
    batch_size: int = 64,
    name: str = "model",
    split: str = "validation",
    checker: Checker | None = None,
    metrics: Sequence[Metric] = (),
    share: Share = Share(),
    progress: Callable[[int], None] | None = None,
) -> ImageScore:
    """Generate an image for every prompt and count how many prompts are satisfied.

    Prompt i has the same seed whatever the model, the setting, the batch size and the number of
    processes.

    Args:
        bundle: The networks to measure.
        prompts: GenEval-style metadata, one a prompt.
        sampling: How images are sampled.
        seed: Of all prompts' seeds.
        batch_size: Prompts generated at once.
        name: Name of the model in the score.
        split: Name of the prompts in the score.
        checker: Judges the images, if it can judge all of these prompts.
        metrics: More scores: each is reset, updated with pixels and metadata, and computed. They
            move to the model's device.
        share: The prompts that this process generates.
        progress: Called with the number of prompts of each batch once it is generated.

    Raises:
        UserError: If there are no prompts, one is too long, or an option is out of range.
    """
    if not prompts:
        raise UserError(f"the split {split!r} has no prompts; give at least one")
    names = metric_names(metrics)
    judge = judging(checker, prompts)
    for metric in metrics:
        metric.to(bundle.device).reset()
        share.prepare(metric)
    satisfied: list[bool] = []
    seconds = 0.0
    own = share.indices(len(prompts))
    with evaluating(bundle.network, bundle.image_tokenizer):
        for start in range(0, len(own), batch_size):
            indices = own[start : start + batch_size]
            batch = [prompts[index] for index in indices]
            texts = [str(entry["prompt"]) for entry in batch]
            began = seconds_now(bundle.device)
            seeds = [prompt_seed(seed, index) for index in indices]
            pixels = draw_images(bundle, texts, sampling, seeds)
            seconds += seconds_now(bundle.device) - began
            if judge is not None:
                satisfied += marks_of(judge, pixels, batch)
            for metric in metrics:
                metric.update(pixels, batch)
            if progress is not None:
                progress(len(batch))
    return ImageScore(
        name,
        split,
        sampling.sampling_steps,
        sampling.guidance_scale,
        tuple(str(entry["tag"]) for entry in prompts),
        tuple(share.gather(satisfied)),
        sum(share.of_all(seconds)),
        min(batch_size, len(prompts)),
        sampling.k,
        {key: metric_value(metric) for key, metric in zip(names, metrics, strict=True)},
        further_options(sampling),
    )


def choose_sampling(
    sweep: Sequence[tuple[ImageSampling, ImageScore]], metric: Metric | None = None
) -> dict[int, ImageSampling]:
    """Choose the setting with the best score at each number of steps.

    Of equally good ones the one with the least guidance is chosen. Measure the sweep on prompts
    that are not those of the final test, or the choice flatters the model.

    Args:
        sweep: Settings, each with the score of one model on one split.
        metric: Chooses where the images were not judged: the larger the better, unless its
            `higher_is_better` is false.

    Returns:
        Steps -> setting.
    """

    def quality(score: ImageScore) -> float:
        if score.judged or metric is None:
            return score.score
        value = score.metrics[metric_names([metric])[0]]
        return -value if metric.higher_is_better is False else value

    best: dict[int, tuple[ImageSampling, ImageScore]] = {}
    for sampling, score in sorted(sweep, key=lambda pair: pair[0].guidance_scale):
        steps = sampling.sampling_steps
        if steps not in best or quality(score) > quality(best[steps][1]):
            best[steps] = sampling, score
    return {steps: sampling for steps, (sampling, _) in best.items()}


def further_options(sampling: ImageSampling) -> dict[str, Any]:
    """What a score says of its setting, besides steps, guidance and top-k."""
    plain = asdict(ImageSampling())
    said = ("sampling_steps", "guidance_scale", "top_k")
    return {
        name: value
        for name, value in asdict(sampling).items()
        if name not in said and value != plain[name]
    }
