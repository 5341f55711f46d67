"""`showo-turbo generate`: generate images from prompts into a folder."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from ..sampling.image_sampling import SamplingChanges
from .command_line import run_function
from .drawing import DrawingOptions, DrawingRun, Request
from .layouts import Layout, check_metadata, image_files, write_metadata
from .model_options import ModelOptions
from .prompt_sources import PromptEntry, read_prompts, with_negative


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(generate, arguments, name="generate", listed="prompts")


def generate(
    prompts: list[str],
    drawing: DrawingOptions,
    prompts_file: Path | None = None,
    images_per_prompt: int = 1,
    layout: Layout = "flat",
    changes: SamplingChanges = SamplingChanges(),
    model: ModelOptions = ModelOptions(),
) -> None:
    """Generate images from prompts.

    The folder gets one PNG an image, with its prompt, seed, steps and model in its metadata, and
    `index.jsonl` with a line for each. Interrupted, the same command continues where it stopped.

    Args:
        prompts: What to generate.
        drawing: Where the images go, and what is common to all.
        prompts_file: Prompts in a text file, one a line; in a .jsonl, .ndjson or .jsonlines file,
            one object a line with "prompt" and, if wanted, "negative_prompt" and "seed"; or in a
            .csv or .tsv file, with a column "prompt", "text" or "caption" and, if wanted, the same.
        images_per_prompt: How many images of each prompt.
        layout: Files in the folder: `flat`, 00000.png; or `geneval`, 00000/samples/0000.png for the
            first image of the first prompt beside its metadata.jsonl, as GenEval's evaluation
            expects them of the prompts in its evaluation_metadata.jsonl.
        changes: How images are sampled, if not as the model does best.
        model: The model.
    """
    from ..inference import Generation, Prompts  # not before the options are read
    from ..sampling.parallel import gives_one_image

    entries = with_negative(read_prompts(prompts, prompts_file), drawing.negative_prompt)
    check_metadata(layout, entries)
    pipeline = model.load()
    sampling = changes.over(pipeline.sampling).resolved
    all_the_same = gives_one_image(pipeline.network, sampling)
    drawn = DrawingRun(
        "generate",
        pipeline,
        model,
        sampling,
        _plan(entries, images_per_prompt, drawing.seed, all_the_same, layout),
        lambda chosen: Generation(
            Prompts([e.text for e in chosen], [e.negative_prompt for e in chosen])
        ),
        settings={} if layout == "flat" else {"layout": layout},
    )
    drawn.into(drawing, lambda: write_metadata(layout, drawing.output, entries))


def _plan(
    entries: Sequence[PromptEntry],
    images_per_prompt: int,
    seed: int,
    all_the_same: bool,
    layout: Layout,
) -> list[Request[PromptEntry]]:
    """Every image's file and seed."""
    if images_per_prompt < 1:
        raise UserError(f"images_per_prompt is {images_per_prompt}; it must be at least 1")
    if images_per_prompt > 1 and all_the_same:
        raise UserError(
            f"images_per_prompt is {images_per_prompt}, but at temperature 0 and in one order all "
            "images of a prompt are the same; raise token_temperature"
        )
    requests = []
    for index, file in enumerate(image_files(layout, len(entries), images_per_prompt)):
        entry = entries[index // images_per_prompt]
        own = seed + index if entry.seed is None else entry.seed + index % images_per_prompt
        requests.append(Request(file, own, entry))
    return requests
