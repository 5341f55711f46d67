"""`showo-turbo tell`: tell stories of texts and images in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..data.fields import text_field, written
from ..data.records import read_records
from ..data.transparency import BACKGROUND, check_background
from ..errors import UserError
from ..inference import Statistics, Stories
from ..inference.image_sources import check_images
from ..sampling.image_sampling import SamplingChanges
from ..sampling.stories import MAX_STEPS
from ..sampling.text_decoding import DecodingChanges
from ..utils.files import write_atomically
from ..utils.hashing import fingerprint_lines
from ..utils.progress import progress_bar
from .command_line import run_function
from .image_files import checksum, image_of_line
from .model_options import ModelOptions
from .prompt_sources import other_values, seed_field
from .run_folder import RunFolder

INDEX_FILE = "stories.jsonl"


@dataclass(frozen=True)
class StoryRequest:
    """A story to tell.

    Attributes:
        text: What is asked for.
        image: The image that it begins with, if one is given.
        seed: Its seed, if its line names one.
        sha256: Of the image.
        metadata: What else its line holds.
    """

    text: str
    image: Path | None = None
    seed: int | None = None
    sha256: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(tell, arguments, name="tell", listed="requests", nested=("decoding",))


def tell(
    requests: list[str],
    output: Path,
    image: Path | None = None,
    stories_file: Path | None = None,
    max_steps: int = MAX_STEPS,
    seed: int = 0,
    batch_size: int | None = None,
    background: str = BACKGROUND,
    changes: SamplingChanges = SamplingChanges(),
    decoding: DecodingChanges = DecodingChanges(),
    model: ModelOptions = ModelOptions(),
) -> None:
    """Generate stories of interleaved texts and images.

    A story goes on, step by step, until the model ends it. The folder gets a PNG for every image,
    `00000-0.png` being the first of the first story, and `stories.jsonl` with the texts and the
    names of the images, one line a story. Interrupted, the same command continues where it stopped.

    Args:
        requests: What is asked for.
        output: Folder for the stories: a new one, or that of the same command.
        image: The image that the stories begin with; by default the model generates it.
        stories_file: Instead of requests and an image, a .jsonl file, one object a line with
            "request" and, if wanted, "image", a path from the folder of this file, and "seed".
        max_steps: Steps of a story at most.
        seed: Seed of the first story; the next ones count on from it, but for lines of a file that
            name their own.
        batch_size: Stories told at once; by default as many as fit.
        background: Color that shows through transparent parts of images, such as black or #808080.
        changes: How images are sampled, if not as the model does best.
        decoding: How texts are decoded, likewise.
        model: The model.
    """
    check_background(background)
    asked = read_requests(requests, image, stories_file)
    check_images([entry.image for entry in asked if entry.image is not None], background)
    pipeline = model.load()
    pipeline.background = background
    sampling = changes.over(pipeline.sampling).resolved
    texts = decoding.over(pipeline.decoding)
    seeds = [seed + i if entry.seed is None else entry.seed for i, entry in enumerate(asked)]
    settings = {
        **model.settings("tell", pipeline),
        **asdict(sampling),
        "decoding": asdict(texts),
        "max_steps": max_steps,
        "stories": fingerprint_lines(
            [entry.text, entry.sha256, own] for entry, own in zip(asked, seeds, strict=True)
        ),
    }
    if background != BACKGROUND:
        settings["background"] = background
    folder = RunFolder(output, settings, INDEX_FILE, key="id")
    names = [f"{index:05d}" for index in range(len(asked))]
    pending = []
    for index, name in enumerate(names):
        if not _is_told(folder.notes.get(name), output):
            folder.notes.pop(name, None)
            pending.append(index)
    if pending:
        chosen = [asked[index] for index in pending]
        # All begin with an image, or none does: what is read sees to it.
        images = [entry.image for entry in chosen if entry.image is not None]
        batches = pipeline.tell_batches(
            [entry.text for entry in chosen],
            images or None,
            sampling,
            texts,
            max_steps,
            [seeds[index] for index in pending],
            batch_size,
        )
        folder.begin()
        cost, done = Statistics(), 0
        with progress_bar("stories", len(pending)) as advance:
            for batch in batches:
                own = pending[done : done + len(batch.texts)]
                notes = [
                    _write(folder.folder, names[index], asked[index], batch, row)
                    for row, index in enumerate(own)
                ]
                folder.add(notes)
                done += len(own)
                cost += batch.statistics
                advance(len(own))
        print(cost)
    earlier = len(asked) - len(pending)
    print(f"{len(asked)} stories in {output}" + (f", {earlier} from earlier" if earlier else ""))


def _is_told(note: Mapping[str, Any] | None, folder: Path) -> bool:
    """Whether a story is noted, and all its images are there."""
    files = note.get("images") if note else None
    return isinstance(files, list) and all((folder / str(file)).is_file() for file in files)


def _write(
    folder: Path, name: str, request: StoryRequest, batch: Stories, row: int
) -> dict[str, Any]:
    """Write the images of a story; give its line of the index."""
    files = [f"{name}-{number}.png" for number in range(len(batch.images[row]))]
    for file, image in zip(files, batch.images[row], strict=True):
        with write_atomically(folder / file) as temporary:
            image.save(temporary, format="PNG")
    return {
        "id": name,
        "request": request.text,
        "image": None if request.image is None else str(request.image),
        "texts": batch.texts[row],
        "images": files,
        "finished": batch.finished[row],
        "seed": batch.seeds[row],
        "metadata": request.metadata,
    }


def read_requests(
    texts: Sequence[str], image: Path | None, file: Path | None
) -> list[StoryRequest]:
    """All stories that are asked for, by the command line or by a file.

    Raises:
        UserError: If there are none, or both; if a text is missing or empty, an image is not a
            file, or some begin with an image and others do not.
    """
    if file is None:
        sha256 = None if image is None else checksum(image)
        asked = [
            StoryRequest(written(text, "the request", f"request {i}"), image, sha256=sha256)
            for i, text in enumerate(texts, start=1)
        ]
    elif texts or image is not None:
        raise UserError(
            f"stories_file {file} names requests and images, but there are others; leave out the "
            "requests and --image, or --stories_file"
        )
    else:
        asked = [_of_line(values, file, where) for where, values in read_records(file)]
    if not asked:
        raise UserError("there are no requests; give some, or a file of them with --stories_file")
    if len({entry.image is None for entry in asked}) > 1:
        raise UserError(
            f"{file} has stories with an image and others without; expected one kind, divide it"
        )
    return asked


def _of_line(values: Mapping[str, Any], file: Path, where: str) -> StoryRequest:
    text, image = text_field(values, "request", where), None
    if values.get("image") is not None:
        image = image_of_line(values, "image", file, where)
    return StoryRequest(
        text,
        image,
        seed_field(values, where),
        None if image is None else checksum(image),
        other_values(values, ("request", "image", "seed"), where),
    )
