"""`showo-turbo extrapolate`: let images grow beyond their edges."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.transparency import BACKGROUND
from ..inference import ExtrapolatedImages, Extrapolation
from ..sampling.image_sampling import SamplingChanges
from ..sampling.windows import Direction
from .command_line import run_function
from .image_jobs import ImageJob, draw_jobs, read_jobs
from .model_options import ModelOptions


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(extrapolate, arguments, name="extrapolate", listed="images")


def extrapolate(
    images: list[str],
    output: Path,
    directions: list[Direction] | Direction | None = None,
    prompt: list[str] | str | None = None,
    jobs_file: Path | None = None,
    negative_prompt: str | None = None,
    offset: int = 0,
    seed: int = 0,
    batch_size: int | None = None,
    background: str = BACKGROUND,
    changes: SamplingChanges = SamplingChanges(),
    model: ModelOptions = ModelOptions(),
) -> None:
    """Let images grow beyond their edges.

    The folder gets one PNG an image, with its prompt, seed, steps and model in its metadata, and
    `index.jsonl` with a line for each. Interrupted, the same command continues where it stopped.

    Args:
        images: Image files, and folders of them. They are cut to squares as large as the model
            draws them.
        output: Folder for the images: a new one, or that of the same command.
        directions: Where they grow: left, right, up or down, or several of them one after the
            other, such as "[left, up]".
        prompt: What is to be there; one text, or a list with one for each direction.
        jobs_file: Instead of images, directions and a prompt, a .jsonl file, one object a line with
            "image", a path from the folder of this file, "directions" and "prompt", each one or a
            list, and, if wanted, "negative_prompt" and "seed".
        negative_prompt: What guidance moves away from, in place of the empty prompt, where a line
            of the file names nothing else.
        offset: Each direction keeps half of the image in view as it draws the rest; the offset is
            how many rows or columns of tokens fewer.
        seed: Seed of the first image; the next ones count on from it.
        batch_size: Images drawn at once; by default as many as fit.
        background: Color that shows through transparent parts of images, such as black or #808080.
        changes: How images are sampled, if not as the model does best.
        model: The model.
    """
    given = {"directions": directions, "prompt": prompt}
    jobs = read_jobs(images, given, jobs_file, negative_prompt)

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
        jobs,
        task,
        output,
        seed=seed,
        batch_size=batch_size,
        background=background,
        changes=changes,
        model=model,
        options={"offset": offset},
        found=found,
    )
