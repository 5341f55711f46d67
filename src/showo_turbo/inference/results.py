"""What the pipeline gives back."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class Statistics:
    """What a result cost.

    Attributes:
        samples: Images drawn or questions answered.
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
class GeneratedImages:
    """Images of a list of prompts.

    Attributes:
        images: One a prompt, RGB.
        codes: `(prompts, image_tokens)` image codes, on the CPU.
        seeds: The seed of each.
        statistics: What they cost.
    """

    images: list[Image.Image]
    codes: Tensor
    seeds: list[int]
    statistics: Statistics

    @classmethod
    def joined(cls, parts: Iterable["GeneratedImages"]) -> "GeneratedImages":
        """The parts, at least one, as one result."""
        parts = list(parts)
        return cls(
            [image for part in parts for image in part.images],
            torch.cat([part.codes for part in parts]),
            [seed for part in parts for seed in part.seeds],
            sum((part.statistics for part in parts), Statistics()),
        )


@dataclass(frozen=True)
class Answers:
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
    statistics: Statistics

    @classmethod
    def joined(cls, parts: Iterable["Answers"]) -> "Answers":
        """The parts as one result."""
        parts = list(parts)
        return cls(
            [text for part in parts for text in part.texts],
            [tokens for part in parts for tokens in part.tokens],
            [finished for part in parts for finished in part.finished],
            sum((part.statistics for part in parts), Statistics()),
        )
