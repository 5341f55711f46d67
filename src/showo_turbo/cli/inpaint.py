"""`showo-turbo inpaint`: regenerate parts of images."""

from collections.abc import Sequence
from pathlib import Path

from ..inference import Inpainting
from ..sampling.image_sampling import SamplingChanges
from ..sampling.inpainting import MaskReading
from .command_line import run_function
from .image_jobs import ImageJob, JobOptions, draw_jobs, prompts_of
from .model_options import ModelOptions


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(inpaint, arguments, name="inpaint", listed="images")


def inpaint(
    images: list[str],
    source: JobOptions,
    mask: Path | None = None,
    prompt: str | None = None,
    mask_reading: MaskReading = "any",
    paste: bool = False,
    changes: SamplingChanges = SamplingChanges(),
    model: ModelOptions = ModelOptions(),
) -> None:
    """Regenerate the parts of images that a mask marks in white.

    The folder gets one PNG an image, with its prompt, seed, steps and model in its metadata, and
    `index.jsonl` with a line for each. Interrupted, the same command continues where it stopped.

    Args:
        images: Image files, and folders of them. They are cut to squares as large as the model
            generates them.
        source: Where the images go, what is common to all, and a file in place of images and what
            they are to show.
        mask: As large as each image: white is regenerated, black is kept.
        prompt: What the whole image is to show.
        mask_reading: With `any` a token is regenerated if any pixel of its patch is white; with
            `center`, as in the published code, if its center is, which misses what is small.
        paste: Whether to put back the image's own pixels where no token was regenerated, with a
            soft edge; otherwise they are what the image tokenizer makes of them.
        changes: How images are sampled, if not as the model does best.
        model: The model.
    """

    def task(chosen: Sequence[ImageJob]) -> Inpainting:
        masks = [job.mask for job in chosen if job.mask is not None]
        return Inpainting(
            [job.image for job in chosen], masks, prompts_of(chosen), mask_reading, paste
        )

    draw_jobs(
        "inpaint",
        images,
        {"mask": mask, "prompt": prompt},
        task,
        source,
        changes,
        model,
        options={"mask_reading": mask_reading, "paste": paste},
    )
