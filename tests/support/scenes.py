"""Scenes with what they were made for."""

from showo_turbo.shapes.prompts import Prompt
from showo_turbo.shapes.sampling import sample_example
from showo_turbo.shapes.scene import Scene


def sample_scene(index: int, seed: int = 0, *, split: str = "train") -> tuple[Scene, Prompt]:
    """A scene and its first caption as a prompt, which it satisfies."""
    example = sample_example(index, seed, split=split)
    return example.scene, example.prompts[0]
