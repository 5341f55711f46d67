"""How often a model tells stories of moving shapes right, step by step and as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..evaluation.intervals import wilson_interval
from ..inference.loaded_model import LoadedModel
from ..models.modes import evaluating
from ..sampling.image_sampling import ImageSampling
from ..sampling.stories import ToldStory, tell_stories
from ..sampling.text_decoding import TextDecoding
from ..utils.images import to_bytes
from ..utils.random import stateless_seed
from .checker import read_images
from .moves import parse_sentence
from .render import render
from .scene import IMAGE_SIZE, Scene
from .stories import MAX_STEPS, ShapesStory

Told = tuple[Sequence[str], Sequence[Scene | None]]
"""Sentences, and what their keyframes show; None is what cannot be read."""


@dataclass(frozen=True)
class StoryScore:
    """How often stories were told right.

    A step is right if its sentence tells the change that is asked for, and its keyframe shows the
    scene of the keyframe before with this change, and nothing else. A story is right if all its
    steps are, and it ends after them.

    Attributes:
        steps: Whether each step of each story is right, story after story.
        sentences: Whether each sentence is, likewise.
        stories: Whether each story is right; empty where every step was told behind the true ones.
        texts: Text tokens written, and the forwards they took.
        image_forwards: Forwards of all images.
    """

    steps: tuple[bool, ...]
    sentences: tuple[bool, ...]
    stories: tuple[bool, ...]
    texts: tuple[int, int]
    image_forwards: int

    def to_dict(self) -> dict[str, Any]:
        """The shares with their 95% intervals (Wilson), for a report."""
        found: dict[str, Any] = {}
        for name in ("steps", "sentences", "stories"):
            marks: tuple[bool, ...] = getattr(self, name)
            if marks:
                interval = wilson_interval(sum(marks), len(marks))
                found[f"right_{name}"] = round(sum(marks) / len(marks), 4)
                found[f"right_{name}_ci95"] = [round(limit, 4) for limit in interval]
                found[f"right_{name}_n"] = len(marks)
        tokens, forwards = self.texts
        found["text_tokens_per_forward"] = round(tokens / max(1, forwards), 3)
        return found


def judge_story(story: ShapesStory, told: Told) -> tuple[list[bool], list[bool]]:
    """Which steps of a story that was told freely are right, and which of its sentences.

    Args:
        story: What was asked for.
        told: Sentences and keyframes, from the first step on; there may be fewer or more.

    Returns:
        One mark for each step that was asked for.
    """
    before: Scene | None = story.before
    steps, sentences = [], []
    for number, asked in enumerate(story.changes):
        is_there = number < min(map(len, told))
        said = is_there and parse_sentence(told[0][number]) == asked
        shown = told[1][number] if is_there else None
        expected = asked.apply(before) if before is not None else None
        steps.append(said and shown is not None and shown == expected)
        sentences.append(said)
        before = shown
    return steps, sentences


def judge_told(
    texts: Sequence[str], pixels: Tensor, told: Sequence[str], keyframes: Tensor
) -> list[bool] | None:
    """Which steps of a story are right, from what is asked for in words and pixels.

    Args:
        texts: The request and the sentences that are asked for.
        pixels: `(3, 24, 24)` in [-1, 1], the first keyframe.
        told: Sentences.
        keyframes: `(told, 3, 24, 24)` in [-1, 1].

    Returns:
        One mark for each step; None where the first keyframe or a sentence that is asked for is not
        of this world.
    """
    if pixels.shape[-2:] != (IMAGE_SIZE, IMAGE_SIZE):
        return None
    changes = [parse_sentence(text) for text in texts[1:]]
    known = tuple(change for change in changes if change is not None)
    before, *after = _read(torch.cat([pixels[None], keyframes]))
    if before is None or len(known) < len(changes):
        return None
    steps, _ = judge_story(ShapesStory(before, known), (told, after))
    return steps


def measure_stories(
    bundle: LoadedModel,
    stories: Sequence[ShapesStory],
    sampling: ImageSampling,
    decoding: TextDecoding,
    *,
    forced: bool = False,
    seed: int = 0,
    batch_size: int = 64,
) -> StoryScore:
    """Have stories told behind their first keyframes, and judge them.

    Args:
        bundle: The networks.
        stories: What is asked for.
        sampling: How keyframes are generated.
        decoding: How sentences are written.
        forced: Whether every step comes behind the true ones before it; else all steps of a story
            are free, one behind the other.
        seed: Of all stories' seeds.
        batch_size: Stories told at once.
    """
    model, tokenizer = bundle.writer("telling a story")
    begun = [
        (story, step)
        for story in stories
        for step in (range(len(story.changes)) if forced else (0,))
    ]
    steps: list[bool] = []
    sentences: list[bool] = []
    whole: list[bool] = []
    tokens = forwards = image_forwards = 0
    with evaluating(bundle.network, bundle.image_tokenizer):
        for start in range(0, len(begun), batch_size):
            batch = begun[start : start + batch_size]
            prompts = []
            for story, step in batch:
                pixels = torch.stack([_pixels(scene) for scene in story.scenes[: step + 1]])
                codes = bundle.image_tokenizer.encode(pixels.to(bundle.device)).tolist()
                texts = [tokenizer.encode(text) for text in story.texts[: step + 1]]
                prompts.append(model.story_prompt(texts, codes))
            results = tell_stories(
                model,
                prompts,
                sampling,
                decoding,
                max_steps=1 if forced else MAX_STEPS + 1,
                seeds=[
                    stateless_seed(seed, start + i, stream="stories") for i in range(len(batch))
                ],
            )
            for (story, step), result in zip(batch, results, strict=True):
                told = [tokenizer.decode(text) for text in result.texts], _scenes(bundle, result)
                asked = story
                if forced:
                    asked = ShapesStory(story.scenes[step], story.changes[step : step + 1])
                right, said = judge_story(asked, told)
                steps += right
                sentences += said
                if not forced:
                    ended = result.finished and len(result.texts) == len(story.changes)
                    whole.append(ended and all(right))
                tokens += sum(len(text) + 1 for text in result.texts)
                forwards += result.text_forwards
                image_forwards += result.image_forwards
    marks = (tuple(steps), tuple(sentences), tuple(whole))
    return StoryScore(*marks, (tokens, forwards), image_forwards)


def _pixels(scene: Scene) -> Tensor:
    """`(3, 24, 24)` in [-1, 1]."""
    return torch.from_numpy(render(scene)).permute(2, 0, 1) / 127.5 - 1


def _scenes(bundle: LoadedModel, told: ToldStory) -> list[Scene | None]:
    """What the keyframes of a story show."""
    if not told.images:
        return []
    codes = torch.stack(told.images).to(bundle.device)
    return _read(bundle.image_tokenizer.decode(codes))


def _read(pixels: Tensor) -> list[Scene | None]:
    """The scene of each image."""
    return [reading.scene for reading in read_images(to_bytes(pixels))]
