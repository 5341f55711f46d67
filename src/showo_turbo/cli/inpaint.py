"""`showo-turbo inpaint`: draw parts of images again."""

from collections.abc import Sequence
from pathlib import Path

from ..data.transparency import BACKGROUND
from ..inference import Inpainting
from ..sampling.image_sampling import SamplingChanges
from ..sampling.inpainting import MaskReading
from .command_line import run_function
from .image_jobs import ImageJob, draw_jobs, prompts_of, read_jobs
from .model_options import ModelOptions


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(inpaint, arguments, name="inpaint", listed="images")


def inpaint(
    images: list[str],
    output: Path,
    mask: Path | None = None,
    prompt: str | None = None,
    jobs_file: Path | None = None,
    negative_prompt: str | None = None,
    mask_reading: MaskReading = "any",
    paste: bool = False,
    seed: int = 0,
    batch_size: int | None = None,
    background: str = BACKGROUND,
    changes: SamplingChanges = SamplingChanges(),
    model: ModelOptions = ModelOptions(),
) -> None:
    """Draw parts of images again, where masks are white.

    The folder gets one PNG an image, with its prompt, seed, steps and model in its metadata, and
    `index.jsonl` with a line for each. Interrupted, the same command continues where it stopped.

    Args:
        images: Image files, and folders of them. They are cut to squares as large as the model
            draws them.
        output: Folder for the images: a new one, or that of the same command.
        mask: A picture as large as each image: white is drawn again, black is kept.
        prompt: What the whole image is to show.
        jobs_file: Instead of images, a mask and a prompt, a .jsonl file, one object a line with
            "image" and "mask", paths from the folder of this file, "prompt" and, if wanted,
            "negative_prompt" and "seed".
        negative_prompt: What guidance moves away from, in place of the empty prompt, where a line
            of the file names nothing else.
        mask_reading: With `any` a token is drawn again if any pixel of its patch is white; with
            `center`, as in the published code, if its center is, which misses what is small.
        paste: Whether to put back the image's own pixels where no token was drawn again, with a
            soft edge; otherwise they are what the image tokenizer makes of them.
        seed: Seed of the first image; the next ones count on from it.
        batch_size: Images drawn at once; by default as many as fit.
        background: Color that shows through transparent parts of images, such as black or #808080.
        changes: How images are sampled, if not as the model does best.
        model: The model.
    """
    jobs = read_jobs(images, {"mask": mask, "prompt": prompt}, jobs_file, negative_prompt)

    def task(chosen: Sequence[ImageJob]) -> Inpainting:
        masks = [job.mask for job in chosen if job.mask is not None]
        return Inpainting(
            [job.image for job in chosen], masks, prompts_of(chosen), mask_reading, paste
        )

    draw_jobs(
        "inpaint",
        jobs,
        task,
        output,
        seed=seed,
        batch_size=batch_size,
        background=background,
        changes=changes,
        model=model,
        options={"mask_reading": mask_reading, "paste": paste},
    )
