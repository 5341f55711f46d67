"""Tiny models that fit the shapes world, and images whose truth is known."""

import numpy as np
import torch
from torchmetrics import Metric

from showo_turbo.evaluation import ImageScore, TextRecord, TextScore
from showo_turbo.inference.loaded_model import LoadedModel
from showo_turbo.shapes.prompts import CATEGORIES
from showo_turbo.shapes.render import render
from showo_turbo.shapes.splits import held_out_prompts
from showo_turbo.text_tokenizer import TextTokenizer

from ..support.scenes import sample_scene
from ..tiny import shapes_showo, tiny_magvitv2


def shapes_networks(seed=0):
    return shapes_showo(seed), tiny_magvitv2(bits=9), TextTokenizer.from_pretrained("shapes")


def shapes_bundle(seed=0):
    return LoadedModel(*shapes_networks(seed))


def metadata(per_category=2, split="test"):
    return [prompt.to_metadata() for prompt in held_out_prompts(split, per_category)]


def records(count=6, image_tokens=36, codebook=512):
    """Random images with questions; one reference in two is long."""
    random = torch.Generator().manual_seed(3)
    answers = ["Yes, there is.", "There is one shape on a black background. " * 2]
    return [
        TextRecord(
            torch.randint(0, codebook, (image_tokens,), generator=random),
            f"How many circles are there? {index}",
            answers[index % 2],
        )
        for index in range(count)
    ]


class Brightness(Metric):
    """The mean of all pixels, in place of a network's judgment."""

    higher_is_better = True

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, pixels, metadata):
        assert len(pixels) == len(metadata)
        self.total += pixels.mean(dim=(1, 2, 3)).double().sum()
        self.count += len(pixels)

    def compute(self):
        return self.scale * self.total / self.count


class KnownImages(torch.nn.Module):
    """In place of an image tokenizer: shows prepared scenes in order, whatever the codes.

    Args:
        scenes: What image i shows.
    """

    def __init__(self, scenes):
        super().__init__()
        self.config = tiny_magvitv2(bits=9).config
        self.weight = torch.nn.Parameter(torch.zeros(1))
        images = torch.from_numpy(np.stack([render(scene) for scene in scenes]))
        self.pixels = images.permute(0, 3, 1, 2) / 127.5 - 1
        self.shown = 0

    def decode(self, codes, grid=None):
        chosen = [(self.shown + i) % len(self.pixels) for i in range(len(codes))]
        self.shown += len(codes)
        return self.pixels[chosen]


def scenes_with_prompts(count):
    """Scenes of the world, each with the metadata of the prompt that it was made for."""
    pairs = [sample_scene(index, seed=5) for index in range(count)]
    return [scene for scene, _ in pairs], [prompt.to_metadata() for _, prompt in pairs]


def score(model="teacher", steps=16, guidance=0.0, good=(8, 10), split="test"):
    """A score in which each category has so many of so many."""
    count, total = good
    return ImageScore(
        model,
        split,
        steps,
        guidance,
        tuple(category for category in CATEGORIES for _ in range(total)),
        tuple(index < count for _ in CATEGORIES for index in range(total)),
    )


def text_score(model="teacher", decoding="jacobi", matched=8, iterations=(4, 6)):
    """A score of ten answers, of which all but the last have a long reference."""
    return TextScore(
        model=model,
        decoding=decoding,
        driver="block" if decoding == "jacobi" else None,
        block_size=16,
        answers=tuple(f"answer {index}" for index in range(10)),
        matched=tuple(index < matched for index in range(10)),
        long=(*([True] * 9), False),
        tokens=300,
        forwards=100 if decoding == "jacobi" else 300,
        unfinished=0,
        block_iterations=iterations if decoding == "jacobi" else (),
        block_forwards=iterations if decoding == "jacobi" else (),
        batch_size=4,
        batched_seconds=2.0,
        timed=2,
        timed_tokens=60,
        timed_seconds=0.5,
    )
