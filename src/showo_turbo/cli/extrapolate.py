"""`showo-turbo extrapolate`: let images grow beyond their edges."""

from collections.abc import Sequence
from typing import Any

from ..inference import ExtrapolatedImages, Extrapolation
from ..sampling.image_sampling import SamplingChanges
from .command_line import run_function
from .image_jobs import ImageJob, JobOptions, draw_jobs
from .model_options import ModelOptions


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(extrapolate, arguments, name="extrapolate", listed="images")


def extrapolate(
    images: list[str],
    source: JobOptions,
    directions: list[str] | str | None = None,
    prompt: list[str] | str | None = None,
    offset: int = 0,
    changes: SamplingChanges = SamplingChanges(),
    model: ModelOptions = ModelOptions(),
) -> None:
    """Extend images beyond their edges.

    The folder gets one PNG an image, with its prompt, seed, steps and model in its metadata, and
    `index.jsonl` with a line for each. Interrupted, the same command continues where it stopped.

    Args:
        images: Image files, and folders of them. They are cut to squares as large as the model
            generates them.
        source: Where the images go, what is common to all, and a file in place of images and what
            they are to show.
        directions: Where they grow: left, right, up or down, or several of them one after the
            other, such as "[left, up]".
        prompt: What is to be there; one text, or a list with one for each direction.
        offset: Each direction keeps half of the image in view as it generates the rest; the
            offset is how many rows or columns of tokens fewer.
        changes: How images are sampled, if not as the model does best.
        model: The model.
    """

    def task(chosen: Sequence[ImageJob]) -> Extrapolation:
        return Extrapolation(
            [job.image for job in chosen],
            [job.directions for job in chosen],
            [job.prompts for job in chosen],
            [job.negative_prompt for job in chosen],
            offset,
        )

    def found(batch: ExtrapolatedImages, index: int) -> dict[str, Any]:
        return {"grid": list(batch.grids[index].shape)}

    draw_jobs(
        "extrapolate",
        images,
        {"directions": directions, "prompt": prompt},
        task,
        source,
        changes,
        model,
        options={"offset": offset},
        found=found,
    )
