"""What all commands that write images share: seeds, settings, resuming, PNGs and their notes.

Interrupted, a command that is given again continues where it stopped.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from PIL.Image import Image
from PIL.PngImagePlugin import PngInfo

from ..sampling.image_sampling import ImageSampling
from ..utils.files import write_atomically
from ..utils.hashing import fingerprint_lines
from ..utils.progress import progress_bar
from .model_options import ModelOptions
from .run_folder import RunFolder

if TYPE_CHECKING:
    from ..inference import DrawingTask, DrawnImages, ShowoPipeline, Statistics

INDEX_FILE = "index.jsonl"


class Entry(Protocol):
    """What a line of a file, or a command line, asks for."""

    @property
    def seed(self) -> int | None:
        """Its seed, if it names one."""

    @property
    def metadata(self) -> dict[str, Any]:
        """What else it holds; noted in the index only."""

    @property
    def notes(self) -> dict[str, Any]:
        """What is noted of it with its image."""

    def identity(self, seed: int) -> list[Any]:
        """What tells its image from others, as JSON."""


@dataclass(frozen=True)
class DrawingOptions:
    """Where images go, and what all of them have in common.

    Args:
        output: Folder for the images: a new one, or that of the same command.
        negative_prompt: What guidance moves away from, in place of the empty prompt, where a line
            of a file names nothing else.
        seed: Seed of the first image; the next ones count on from it, but for lines of a file that
            name their own.
        batch_size: Images generated at once; by default as many as fit.
    """

    output: Path
    negative_prompt: str | None = None
    seed: int = 0
    batch_size: int | None = None


Asked = TypeVar("Asked", bound=Entry)
Result = TypeVar("Result", bound="DrawnImages")


@dataclass(frozen=True)
class Request(Generic[Asked]):
    """One image to generate.

    Attributes:
        file: Name of its file within the folder.
        seed: Its seed.
        entry: What is asked for.
    """

    file: str
    seed: int
    entry: Asked


@dataclass(frozen=True)
class DrawingRun(Generic[Asked, Result]):
    """A command's images.

    Args:
        command: Its name.
        pipeline: Generates the images.
        model: Where that came from.
        sampling: How they are sampled.
        requests: The images.
        task: What some of the requests ask of the pipeline.
        options: What else decides about the images, noted with each.
        settings: What else belongs to the folder as a whole.
        found: What to note of an image of a result.
        save: Writes an image of a result with its note.
        kind: What they are called, in the plural.
    """

    command: str
    pipeline: "ShowoPipeline"
    model: ModelOptions
    sampling: ImageSampling
    requests: Sequence[Request[Asked]]
    task: "Callable[[Sequence[Asked]], DrawingTask[Result]]"
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    found: Callable[[Result, int], dict[str, Any]] = lambda batch, index: {}
    save: Callable[[Result, int, Path, dict[str, Any]], None] = lambda batch, index, path, note: (
        save_png(batch.images[index], path, note)
    )
    kind: str = "images"

    def into(self, place: DrawingOptions, begun: Callable[[], None] = lambda: None) -> None:
        """Generate what the folder does not hold yet, and report the cost.

        Args:
            place: The folder, and how many images are generated at once.
            begun: Called once the folder is there, and before anything is generated.

        Raises:
            UserError: If anything is wrong; then nothing is written.
        """
        output = place.output
        folder = RunFolder(output, self._all_settings(), INDEX_FILE, key="file")
        pending = []
        for request in self.requests:
            if request.file not in folder.notes or not (output / request.file).is_file():
                folder.notes.pop(request.file, None)
                pending.append(request)
        if pending:
            # Nothing is written before all is found to be right.
            batches = self.pipeline.draw_batches(
                self.task([request.entry for request in pending]),
                self.sampling,
                [request.seed for request in pending],
                place.batch_size,
            )
            folder.begin()
            begun()
            print(self._write(batches, pending, folder))
        total, earlier = len(self.requests), len(self.requests) - len(pending)
        print(f"{total} {self.kind} in {output}" + (f", {earlier} from earlier" if earlier else ""))

    def _all_settings(self) -> dict[str, Any]:
        """What determines the images."""
        return {
            **self.model.settings(self.command, self.pipeline),
            **asdict(self.sampling),
            "images": len(self.requests),
            "prompts": fingerprint_lines(
                request.entry.identity(request.seed) for request in self.requests
            ),
            **self.options,
            **self.settings,
        }

    def _write(
        self, batches: Iterable[Result], requests: Sequence[Request[Asked]], folder: RunFolder
    ) -> "Statistics":
        """Write images batch by batch as they are generated; give what they cost."""
        from ..inference import Statistics

        cost, done = Statistics(), 0
        with progress_bar(self.kind, len(requests)) as advance:
            for batch in batches:
                notes = []
                chosen = requests[done : done + len(batch.images)]
                for index, request in enumerate(chosen):
                    note = {
                        "file": request.file,
                        **request.entry.notes,
                        "seed": request.seed,
                        "model": self.model.model,
                        **asdict(self.sampling),
                        **self.options,
                        **self.found(batch, index),
                    }
                    self.save(batch, index, folder.folder / request.file, note)
                    notes.append({**note, "metadata": request.entry.metadata})
                folder.add(notes)
                done += len(notes)
                cost += batch.statistics
                advance(len(notes))
        return cost


def save_png(image: Image, path: Path, note: dict[str, Any]) -> None:
    """Write a PNG atomically, with a text entry for each value of its note."""
    info = PngInfo()
    for name, value in note.items():
        if name != "file":
            info.add_itxt(name, value if isinstance(value, str) else json.dumps(value))
    with write_atomically(path) as temporary:
        image.save(temporary, format="PNG", pnginfo=info)
