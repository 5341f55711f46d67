"""`showo-turbo edit`: change what images show, without a mask."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..inference import EditedImages, Editing
from ..sampling.editing import ImageEditing
from ..sampling.image_sampling import SamplingChanges
from .command_line import run_function
from .image_jobs import JobOptions, draw_jobs, prompts_of
from .model_options import ModelOptions


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(edit, arguments, name="edit", listed="images")


def edit(
    images: list[str],
    source: JobOptions,
    prompt: str | None = None,
    editing: ImageEditing = ImageEditing(),
    changes: SamplingChanges = SamplingChanges(),
    model: ModelOptions = ModelOptions(),
) -> None:
    """Edit images by a prompt, without a mask.

    Some image tokens are regenerated with the prompt, round after round: random ones, or better
    `contradicting` ones, for which 6 rounds of 4 steps with a guidance scale of 1.5 are a sound
    start. The folder gets one PNG an image, with its prompt,
    seed, steps and model in its metadata, and `index.jsonl` with a line for each. Interrupted, the
    same command continues where it stopped.

    Args:
        images: Image files, and folders of them. They are cut to squares as large as the model
            generates them.
        source: Where the images go, what is common to all, and a file in place of images and what
            they are to show.
        prompt: What the whole image is to show.
        editing: How many rounds, and how many tokens they regenerate.
        changes: How the images of a round are sampled, if not as the model does best.
        model: The model.
    """

    def found(batch: EditedImages, index: int) -> dict[str, Any]:
        return {"unchanged": batch.unchanged[index]}

    draw_jobs(
        "edit",
        images,
        {"prompt": prompt},
        lambda chosen: Editing([job.image for job in chosen], prompts_of(chosen), editing),
        source,
        changes,
        model,
        options=asdict(editing),
        found=found,
    )
