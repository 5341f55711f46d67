"""`showo-turbo edit`: change what images show, without a mask."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..data.transparency import BACKGROUND
from ..inference import EditedImages, Editing
from ..sampling.editing import ImageEditing
from ..sampling.image_sampling import SamplingChanges
from .command_line import run_function
from .image_jobs import draw_jobs, prompts_of, read_jobs
from .model_options import ModelOptions


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(edit, arguments, name="edit", listed="images")


def edit(
    images: list[str],
    output: Path,
    prompt: str | None = None,
    jobs_file: Path | None = None,
    negative_prompt: str | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    background: str = BACKGROUND,
    editing: ImageEditing = ImageEditing(),
    changes: SamplingChanges = SamplingChanges(),
    model: ModelOptions = ModelOptions(),
) -> None:
    """Change what images show, without a mask.

    Random image tokens are drawn again with the prompt, round after round. 4 rounds of 4 steps with
    a guidance scale of 2 are a sound start. The folder gets one PNG an image, with its prompt,
    seed, steps and model in its metadata, and `index.jsonl` with a line for each. Interrupted, the
    same command continues where it stopped.

    Args:
        images: Image files, and folders of them. They are cut to squares as large as the model
            draws them.
        output: Folder for the images: a new one, or that of the same command.
        prompt: What the whole image is to show.
        jobs_file: Instead of images and a prompt, a .jsonl file, one object a line with "image", a
            path from the folder of this file, "prompt" and, if wanted, "negative_prompt" and
            "seed".
        negative_prompt: What guidance moves away from, in place of the empty prompt, where a line
            of the file names nothing else.
        seed: Seed of the first image; the next ones count on from it.
        batch_size: Images drawn at once; by default as many as fit.
        background: Color that shows through transparent parts of images, such as black or #808080.
        editing: How many rounds, and how many tokens they draw again.
        changes: How the images of a round are sampled, if not as the model does best.
        model: The model.
    """
    jobs = read_jobs(images, {"prompt": prompt}, jobs_file, negative_prompt)

    def found(batch: EditedImages, index: int) -> dict[str, Any]:
        return {"unchanged": batch.unchanged[index]}

    draw_jobs(
        "edit",
        jobs,
        lambda chosen: Editing([job.image for job in chosen], prompts_of(chosen), editing),
        output,
        seed=seed,
        batch_size=batch_size,
        background=background,
        changes=changes,
        model=model,
        options=asdict(editing),
        found=found,
    )
