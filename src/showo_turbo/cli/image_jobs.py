"""Images to change, from the command line or JSON Lines of jobs, and the folder that they go to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

from ..data.fields import text_field
from ..data.records import read_records
from ..data.transparency import BACKGROUND, check_background
from ..errors import UserError, shown
from ..inference import DrawingTask, DrawnImages, Prompts
from ..sampling.image_sampling import SamplingChanges
from ..sampling.windows import Direction
from .drawing import DrawingOptions, DrawingRun, Request
from .image_files import checksum, find_images, image_of_line
from .layouts import image_files
from .model_options import ModelOptions
from .prompt_sources import (
    SHARED_KEYS,
    negative_field,
    negative_note,
    other_values,
    seed_field,
    with_negative,
)

Result = TypeVar("Result", bound=DrawnImages)


@dataclass(frozen=True)
class JobOptions(DrawingOptions):
    """Where jobs come from, where their images go, and what is common to all.

    Args:
        output: Folder for the images: a new one, or that of the same command.
        negative_prompt: What guidance moves away from, in place of the empty prompt, where a line
            of a file names nothing else.
        seed: Seed of the first image; the next ones count on from it, but for lines of a file that
            name their own.
        batch_size: Images generated at once; by default as many as fit.
        jobs_file: Instead of images and what is to be done with them, a .jsonl file, one object a
            line with "image", a path from the folder of this file, what is the same for all
            images otherwise ("prompt", and "mask" or "directions"), and, if wanted,
            "negative_prompt" and "seed".
        background: Color that shows through transparent parts of images, such as black or #808080.
    """

    jobs_file: Path | None = None
    background: str = BACKGROUND


@dataclass(frozen=True)
class ImageJob:
    """An image to change.

    Attributes:
        image: The image file.
        prompts: What it is to show; several only where there are several directions.
        mask: The mask's file, where there is one.
        directions: Where it is to grow.
        checksums: SHA-256 of the files.
        seed: Its seed, if its line names one.
        metadata: What else its line holds.
        negative_prompt: What guidance moves away from, if not from the empty prompt.
    """

    image: Path
    prompts: tuple[str, ...]
    mask: Path | None = None
    directions: tuple[Direction, ...] = ()
    checksums: tuple[str, ...] = ()
    seed: int | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    negative_prompt: str | None = None

    @property
    def notes(self) -> dict[str, Any]:
        """What is noted of it with its image."""
        notes: dict[str, Any] = {"image": str(self.image)}
        if self.mask is not None:
            notes["mask"] = str(self.mask)
        if self.directions:
            notes["directions"] = list(self.directions)
        single = len(self.prompts) == 1
        notes["prompt"] = self.prompts[0] if single else list(self.prompts)
        return {**notes, **negative_note(self.negative_prompt)}

    def identity(self, seed: int) -> list[Any]:
        """What tells its image from others, as JSON."""
        return [self.notes, *self.checksums, seed]


def read_jobs(
    images: Sequence[str],
    given: Mapping[str, Any],
    file: Path | None,
    negative_prompt: str | None = None,
) -> list[ImageJob]:
    """All jobs: the same for all images, or those of a file.

    Args:
        images: Image files, and folders of them.
        given: `prompt`, and `mask` or `directions` where the command has them, of all images; None
            where the command line names none.
        file: One JSON object a line, with `image` and what is in `given`, paths starting from the
            file's folder, and `negative_prompt` and `seed` if wanted. It takes the place of
            `images` and `given`.
        negative_prompt: What guidance moves away from where a line names nothing else.

    Raises:
        UserError: If something is missing, there is a file and other jobs as well, it cannot be
            read, or a line is wrong.
    """
    if file is None:
        for name, value in given.items():
            if value is None:
                raise UserError(f"--{name} is missing; give it, or a file of jobs with --jobs_file")
        jobs = [_job(path, given, "the command line") for path in find_images(images)]
        return with_negative(jobs, negative_prompt)
    if images or any(value is not None for value in given.values()):
        options = " and ".join(f"--{name}" for name in given)
        raise UserError(
            f"jobs_file {file} names images and what they are to show, but there are others; leave "
            f"out the images, {options}, or --jobs_file"
        )
    jobs = []
    for where, values in read_records(file):
        image = image_of_line(values, "image", file, where)
        own = {name: values.get(name) for name in given}
        if "mask" in given:
            own["mask"] = image_of_line(values, "mask", file, where)
        shared = {
            "seed": seed_field(values, where),
            "negative_prompt": negative_field(values, where),
            "metadata": other_values(values, ("image", *given, *SHARED_KEYS), where),
        }
        jobs.append(_job(image, own, where, **shared))
    if not jobs:
        raise UserError(
            f"{file} holds no jobs; expected one JSON object a line with image and "
            f"{' and '.join(given)}, write some"
        )
    return with_negative(jobs, negative_prompt)


def _job(image: Path, values: Mapping[str, Any], where: str, **shared: Any) -> ImageJob:
    """The job of an image."""
    directions = _directions(values, where) if "directions" in values else ()
    prompt = values["prompt"]
    if isinstance(prompt, list) and directions:
        texts = [text_field({"prompt": text}, "prompt", where) for text in prompt]
        if len(texts) not in (1, len(directions)):
            raise UserError(
                f"{where} has {len(directions)} directions and {len(texts)} prompts; expected one "
                "prompt for each direction, or a single one, correct it"
            )
    else:
        texts = [text_field(values, "prompt", where)]
    mask = values.get("mask")
    files = [image] if mask is None else [image, mask]
    checksums = tuple(checksum(file) for file in files)
    return ImageJob(image, tuple(texts), mask, directions, checksums, **shared)


def _directions(values: Mapping[str, Any], where: str) -> tuple[Direction, ...]:
    """One direction or a list of them."""
    given = values["directions"]
    directions = given if isinstance(given, list) else [given]
    if not directions or any(direction not in get_args(Direction) for direction in directions):
        raise UserError(
            f"{where} has {shown(given)} for 'directions'; expected left, right, up or down, or a "
            "list of them, correct it"
        )
    return tuple(directions)


def prompts_of(jobs: Sequence[ImageJob]) -> Prompts:
    """The prompts of jobs that have one each."""
    return Prompts([job.prompts[0] for job in jobs], [job.negative_prompt for job in jobs])


def draw_jobs(
    command: str,
    images: Sequence[str],
    given: Mapping[str, Any],
    task: Callable[[Sequence[ImageJob]], DrawingTask[Result]],
    source: JobOptions,
    changes: SamplingChanges,
    model: ModelOptions,
    *,
    options: Mapping[str, Any],
    found: Callable[[Result, int], dict[str, Any]] = lambda batch, index: {},
) -> None:
    """Make of images what the command line, or a file, asks for; see `DrawingRun`.

    Args:
        command: The command's name.
        images: Image files, and folders of them.
        given: What is to be made of them, see `read_jobs`.
        task: What some of the jobs ask of the pipeline.
        source: Where jobs come from, and their images go.
        changes: How images are sampled, if not as the model does best.
        model: The model.
        options: What else decides about the images.
        found: What to note of a finished image.

    Raises:
        UserError: If anything is wrong; then nothing is written.
    """
    jobs = read_jobs(images, given, source.jobs_file, source.negative_prompt)
    check_background(source.background)
    pipeline = model.load()
    pipeline.background = source.background
    requests = [
        Request(file, source.seed + index if job.seed is None else job.seed, job)
        for index, (job, file) in enumerate(
            zip(jobs, image_files("flat", len(jobs), 1), strict=True)
        )
    ]
    settings = {} if source.background == BACKGROUND else {"background": source.background}
    sampling = changes.over(pipeline.sampling).resolved
    run = DrawingRun(command, pipeline, model, sampling, requests, task, options, settings, found)
    run.into(source)
