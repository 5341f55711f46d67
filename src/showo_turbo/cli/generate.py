"""`showo-turbo generate`: draw images of prompts into a folder."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL.Image import Image
from PIL.PngImagePlugin import PngInfo

from ..errors import UserError
from ..inference import GeneratedImages, Statistics
from ..sampling.image_sampling import ImageSampling, SamplingChanges
from ..sampling.parallel import gives_one_image
from ..utils.files import write_atomically
from ..utils.hashing import fingerprint_lines, fingerprint_module
from ..utils.progress import progress_bar
from .command_line import run_function
from .layouts import Layout, check_metadata, image_files, write_metadata
from .model_options import ModelOptions
from .prompt_sources import PromptEntry, read_prompts
from .run_folder import RunFolder

INDEX_FILE = "index.jsonl"


@dataclass(frozen=True)
class _Request:
    """One image to draw, and the name of its file."""

    file: str
    seed: int
    entry: PromptEntry


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(generate, arguments, name="generate", listed="prompts")


def generate(
    prompts: list[str],
    output: Path,
    prompts_file: Path | None = None,
    images_per_prompt: int = 1,
    seed: int = 0,
    batch_size: int | None = None,
    layout: Layout = "flat",
    changes: SamplingChanges = SamplingChanges(),
    model: ModelOptions = ModelOptions(),
) -> None:
    """Draw images of prompts into a folder.

    The folder gets one PNG an image, with its prompt, seed, steps and model in its metadata, and
    `index.jsonl` with a line for each. Interrupted, the same command continues where it stopped.

    Args:
        prompts: What to draw.
        output: Folder for the images: a new one, or that of the same command.
        prompts_file: Prompts in a text file, one a line; in a .jsonl, .ndjson or .jsonlines file,
            one object a line with "prompt" and, if wanted, "seed"; or in a .csv or .tsv file, with
            a column "prompt", "text" or "caption" and, if wanted, "seed".
        images_per_prompt: How many images of each prompt.
        seed: Seed of the first image; the next ones count on from it.
        batch_size: Images drawn at once; by default as many as fit.
        layout: Files in the folder: `flat`, 00000.png; or `geneval`, 00000/samples/0000.png for the
            first image of the first prompt beside its metadata.jsonl, as GenEval's evaluation
            expects them of the prompts in its evaluation_metadata.jsonl.
        changes: How images are sampled, if not as the model does best.
        model: The model.
    """
    entries = read_prompts(prompts, prompts_file)
    check_metadata(layout, entries)
    pipeline = model.load()
    sampling = changes.over(pipeline.sampling).resolved
    all_the_same = gives_one_image(pipeline.network, sampling)
    requests = _plan(entries, images_per_prompt, seed, all_the_same, layout)
    settings = {
        "command": "generate",
        "model": model.model,
        "dtype": str(pipeline.network.dtype).removeprefix("torch."),
        "showo": fingerprint_module(pipeline.network),
        "image_tokenizer": fingerprint_module(pipeline.image_tokenizer),
        **asdict(sampling),
        "images": len(requests),
        "prompts": fingerprint_lines([r.entry.text, r.seed] for r in requests),
    }
    if layout != "flat":
        settings["layout"] = layout
    folder = RunFolder(output, settings, INDEX_FILE, key="file")
    pending = []
    for request in requests:
        if request.file not in folder.notes or not (output / request.file).is_file():
            folder.notes.pop(request.file, None)
            pending.append(request)
    if pending:
        # Nothing is written before all is found to be right.
        batches = pipeline.generate_batches(
            [request.entry.text for request in pending],
            sampling,
            [request.seed for request in pending],
            batch_size,
        )
        folder.begin()
        write_metadata(layout, output, entries)
        print(_draw(batches, pending, folder, sampling, model.model))
    earlier = len(requests) - len(pending)
    print(f"{len(requests)} images in {output}" + (f", {earlier} from earlier" if earlier else ""))


def _plan(
    entries: Sequence[PromptEntry],
    images_per_prompt: int,
    seed: int,
    all_the_same: bool,
    layout: Layout,
) -> list[_Request]:
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
        requests.append(_Request(file, own, entry))
    return requests


def _draw(
    batches: Iterable[GeneratedImages],
    requests: Sequence[_Request],
    folder: RunFolder,
    sampling: ImageSampling,
    model: str,
) -> Statistics:
    """Draw and write images batch by batch; give what they cost."""
    cost, done = Statistics(), 0
    with progress_bar("images", len(requests)) as advance:
        for batch in batches:
            notes = []
            chosen = requests[done : done + len(batch.images)]
            for request, image in zip(chosen, batch.images, strict=True):
                note = {
                    "file": request.file,
                    "prompt": request.entry.text,
                    "seed": request.seed,
                    "model": model,
                    **asdict(sampling),
                }
                _save_png(image, folder.folder / request.file, note)
                notes.append({**note, "metadata": request.entry.metadata})
            folder.add(notes)
            done += len(notes)
            cost += batch.statistics
            advance(len(notes))
    return cost


def _save_png(image: Image, path: Path, note: dict[str, Any]) -> None:
    """Write a PNG atomically, with a text entry for each value of its note."""
    info = PngInfo()
    for name, value in note.items():
        if name != "file":
            info.add_itxt(name, value if isinstance(value, str) else json.dumps(value))
    with write_atomically(path) as temporary:
        image.save(temporary, format="PNG", pnginfo=info)
