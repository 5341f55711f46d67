"""`showo-turbo generate-video`: generate clips from prompts into a folder."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ..data.clip_writing import write_clip
from ..data.clips import FRAMES_PER_SECOND, import_av
from ..data.transparency import BACKGROUND
from ..errors import UserError
from ..inference import GeneratedVideos, Prompts, VideoGeneration
from ..inference.image_sources import check_images
from ..sampling.image_sampling import SamplingChanges
from .command_line import run_function
from .drawing import DrawingOptions, DrawingRun, Request
from .image_files import checksum
from .layouts import image_files
from .model_options import ModelOptions
from .prompt_sources import PromptEntry, read_prompts, with_negative

ClipFormat = Literal["gif", "webp", "mp4"]


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(generate_video, arguments, name="generate-video", listed="prompts")


def generate_video(
    prompts: list[str],
    drawing: DrawingOptions,
    prompts_file: Path | None = None,
    image: Path | None = None,
    by_frame: bool = False,
    format: ClipFormat = "gif",
    frames_per_second: float = FRAMES_PER_SECOND,
    changes: SamplingChanges = SamplingChanges(),
    model: ModelOptions = ModelOptions(),
) -> None:
    """Generate clips from prompts, optionally with a first frame.

    It needs a model of clips. The folder gets one file a clip, and `index.jsonl` with a line for
    each: its prompt, seed, steps and model. Interrupted, the same command continues where it
    stopped.

    Args:
        prompts: What to generate.
        drawing: Where the clips go, and what is common to all.
        prompts_file: Prompts in a text file, one a line, or in a .jsonl, .csv or .tsv file; see
            `generate`.
        image: The first frame of all clips, to set it in motion; by default it is generated, too.
        by_frame: Whether a latent frame begins once the one before is complete, each in
            `sampling_steps` steps; else all are generated together.
        format: Kind of the files: `gif`, lossless `webp`, or `mp4`, which needs showo-turbo[video].
        frames_per_second: How fast the frames follow each other, from 0.1 to 100.
        changes: How clips are sampled, if not as the model does best.
        model: The model.
    """
    entries = with_negative(read_prompts(prompts, prompts_file), drawing.negative_prompt)
    if not 0.1 <= frames_per_second <= 100:
        raise UserError(f"frames_per_second is {frames_per_second}; it must be 0.1 to 100")
    if format == "mp4":
        import_av()
    options: dict[str, Any] = {"by_frame": by_frame, "frames_per_second": frames_per_second}
    if image is not None:
        options |= {"image": str(image), "image_sha256": checksum(image)}
        check_images([image], BACKGROUND)
    pipeline = model.load()

    def task(chosen: Sequence[PromptEntry]) -> VideoGeneration:
        texts = Prompts([e.text for e in chosen], [e.negative_prompt for e in chosen])
        return VideoGeneration(texts, None if image is None else [image] * len(chosen), by_frame)

    files = [Path(file).stem for file in image_files("flat", len(entries), 1)]
    requests = [
        Request(f"{file}.{format}", drawing.seed + i if entry.seed is None else entry.seed, entry)
        for i, (file, entry) in enumerate(zip(files, entries, strict=True))
    ]
    drawn = DrawingRun(
        "generate-video",
        pipeline,
        model,
        changes.over(pipeline.sampling).resolved,
        requests,
        task,
        options,
        {"format": format},
        save=partial(_save, frames_per_second),
        kind="clips",
    )
    drawn.into(drawing)


def _save(
    frames_per_second: float, batch: GeneratedVideos, index: int, path: Path, note: dict[str, Any]
) -> None:
    """Write a clip; its note is in the index only."""
    write_clip(path, batch.videos[index], frames_per_second)
