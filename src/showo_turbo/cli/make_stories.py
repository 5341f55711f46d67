"""`showo-turbo make-stories`: write stories of moving shapes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ..shapes.stories import ShapesStories, write_stories
from .command_line import run_function


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(make_stories, arguments, name="make-stories")


def make_stories(
    folder: Path,
    stories: int = ShapesStories.count,
    seed: int = ShapesStories.seed,
    split: Literal["train", "validation", "test"] = "train",
) -> None:
    """Write stories of moving shapes: requests, and step by step a sentence and a keyframe.

    The folder gets `stories.json` and the pictures. The same options give the same bytes.

    Args:
        folder: Where to write them: a new folder, or that of the same stories.
        stories: How many.
        seed: Seed of all of them.
        split: No training story begins with a scene of the others.
    """
    path = write_stories(folder, stories=stories, seed=seed, split=split)
    print(f"{stories} stories: {path}")
