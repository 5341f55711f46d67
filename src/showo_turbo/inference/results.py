"""What the pipeline gives back."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class Statistics:
    """What a result cost.

    Attributes:
        samples: Images generated or questions answered.
        tokens: Image tokens or text tokens decoded, in all samples together.
        forwards: Forwards of the network, each sample counted by itself, so that the batch size
            does not change it. With guidance a step takes two. A prompt's prefill is not counted.
        seconds: Wall-clock time of decoding the tokens; loading files and turning images into
            codes and back are left out.
    """

    samples: int = 0
    tokens: int = 0
    forwards: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Statistics") -> "Statistics":
        return Statistics(
            self.samples + other.samples,
            self.tokens + other.tokens,
            self.forwards + other.forwards,
            self.seconds + other.seconds,
        )

    @property
    def tokens_per_forward(self) -> float:
        """Tokens that a forward pass decodes, on average over the passes of all samples."""
        return self.tokens / max(1, self.forwards)

    @property
    def tokens_per_second(self) -> float:
        """Tokens a second, over all samples of the batches."""
        return self.tokens / max(1e-9, self.seconds)

    def __str__(self) -> str:
        """The numbers in one line, for people."""
        return (
            f"{self.samples} samples, {self.tokens} tokens in {self.seconds:.1f} s "
            f"({self.tokens_per_second:.0f} tokens/s, "
            f"{self.tokens_per_forward:.2f} tokens per forward pass)"
        )


@dataclass(frozen=True)
class Samples:
    """Results of a list of samples.

    Attributes:
        statistics: What they cost.
    """

    statistics: Statistics

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """The parts, at least one, as one result."""
        parts = list(parts)
        return cls(
            **{
                field.name: _joined([getattr(part, field.name) for part in parts])
                for field in fields(cls)
            }
        )


def _joined(values: list[Any]) -> Any:
    """Lists and tensors one behind the other; what they cost together."""
    if isinstance(values[0], Statistics):
        return sum(values, Statistics())
    if isinstance(values[0], Tensor):
        return torch.cat(values)
    return [entry for value in values for entry in value]


@dataclass(frozen=True)
class DrawnImages(Samples):
    """Images that were generated.

    Attributes:
        images: One a prompt, RGB.
        seeds: The seed of each.
        statistics: What they cost.
    """

    images: list[Image.Image]
    seeds: list[int]


@dataclass(frozen=True)
class GeneratedImages(DrawnImages):
    """Images of prompts, or images that were changed, as large as the model generates them.

    Attributes:
        images: One a prompt, RGB.
        codes: `(prompts, image_tokens)` image codes, on the CPU.
        seeds: The seed of each.
        statistics: What they cost.
    """

    codes: Tensor


@dataclass(frozen=True)
class GeneratedVideos(GeneratedImages):
    """Clips of a list of prompts.

    Attributes:
        videos: The frames of each, RGB.
        images: The first frame of each.
        codes: `(prompts, image_tokens)` codes of the latent frames one after the other, on the CPU.
        seeds: The seed of each.
        statistics: What they cost.
    """

    videos: list[list[Image.Image]]


@dataclass(frozen=True)
class EditedImages(GeneratedImages):
    """Images that were edited without a mask.

    Attributes:
        images: One a prompt, RGB.
        codes: `(prompts, image_tokens)` image codes, on the CPU.
        unchanged: Share of the codes of each that are those of the image that it was.
        seeds: The seed of each.
        statistics: What they cost.
    """

    unchanged: list[float]


@dataclass(frozen=True)
class ExtrapolatedImages(DrawnImages):
    """Images that have grown beyond their edges.

    Attributes:
        images: One an image, RGB, larger than it.
        grids: The image codes `(rows, columns)` of each, on the CPU.
        seeds: The seed of each.
        statistics: What they cost.
    """

    grids: list[Tensor]


@dataclass(frozen=True)
class Answers(Samples):
    """Answers to questions about images.

    Attributes:
        texts: One a question.
        tokens: Text ids of each, up to and including `eot` where it was reached.
        finished: Whether each ended by itself, instead of being cut at `max_new_tokens`.
        statistics: What they cost.
    """

    texts: list[str]
    tokens: list[list[int]]
    finished: list[bool]


@dataclass(frozen=True)
class Stories(Samples):
    """Stories of texts and images in turn.

    Attributes:
        texts: The texts of each, one a step.
        images: The images of each, RGB: one a step, and before them the first one where it was not
            given.
        codes: Their image codes `(image_tokens,)`, on the CPU.
        finished: Whether each ended by itself, instead of being cut.
        seeds: The seed of each.
        statistics: What they cost.
    """

    texts: list[list[str]]
    images: list[list[Image.Image]]
    codes: list[list[Tensor]]
    finished: list[bool]
    seeds: list[int]
