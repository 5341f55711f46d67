"""`showo-turbo trajectories`: show what a store of trajectories holds."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ..errors import UserError
from ..inference.loading import load_image_tokenizer, load_text_tokenizer
from ..models.checkpoints import SHAPES
from ..models.registry import load_config
from ..trajectories import (
    ImageTrajectoryDataset,
    TrajectoryStore,
    describe_store,
    open_texts,
)
from ..trajectories.store import MANIFEST_NAME
from ..viz.film_strip import draw_film_strip, draw_text_strip, evenly_chosen
from .command_line import run_function


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(trajectories, arguments, name="trajectories")


def trajectories(
    folder: Path,
    output: Path | None = None,
    samples: int = 3,
    model: str | None = None,
    image_tokenizer: str | None = None,
    text_tokenizer: str | None = None,
    family: str | None = None,
) -> None:
    """Inspect stored trajectories, and draw film strips of a few.

    Args:
        folder: A store, or a folder with stores somewhere in it, such as a run's curriculum.
        output: Folder for the film strips; by default beside each store, its name with `-strips`.
        samples: Film strips of each store; 0 draws none.
        model: The model that the trajectories were collected with, for its tokenizers: `shapes`,
            a folder or a hub id. By default the teacher that lies beside a store, as it does in a
            run's curriculum, else `shapes`.
        image_tokenizer: Image tokenizer, if it is not the one that the model names.
        text_tokenizer: Text tokenizer, if it is not the one that the model names.
        family: Class of the model, where it is of a family of your own: its import path, such as
            `my_module.MyModel`.
    """
    if samples < 0:
        raise UserError(f"samples is {samples}; it must be 0 or more")
    stores = find_stores(folder)
    console = Console()
    for place in stores:
        console.print(describe_store(place))
    for place in stores:
        store = TrajectoryStore.inspect(place)
        count = min(samples, store.num_samples)
        if not store.complete or not count:
            continue
        strips = place.with_name(f"{place.name}-strips") if output is None else output
        if len(stores) > 1 and output is not None:
            strips = output / place.relative_to(folder)
        chosen = evenly_chosen(store.num_samples, count) if count > 1 else [0]
        own = model or _teacher_beside(place)
        if store.identity.kind == "images":
            _draw_images(store, chosen, strips, own, image_tokenizer, family)
        else:
            _draw_texts(store, chosen, strips, own, text_tokenizer, family)
        console.print(f"{count} film strips in {strips}", markup=False, highlight=False)


def _teacher_beside(store: Path) -> str:
    """The model folder of a store's teacher, if it lies beside it; else the model that ships."""
    teacher = store.absolute().with_name("teacher")
    return str(teacher) if (teacher / "config.json").is_file() else SHAPES


def find_stores(folder: Path) -> list[Path]:
    """The folder itself if it is a store, else all stores in it.

    Raises:
        UserError: If there is none.
    """
    if (folder / MANIFEST_NAME).is_file():
        return [folder]
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name one that was made by collect")
    stores = sorted(path.parent for path in folder.rglob(MANIFEST_NAME))
    if not stores:
        raise UserError(f"{folder} holds no trajectories; name a folder that was made by collect")
    return stores


def _draw_images(
    store: TrajectoryStore,
    chosen: Sequence[int],
    folder: Path,
    model: str,
    image_tokenizer: str | None,
    family: str | None,
) -> None:
    tokenizer = load_image_tokenizer(load_config(model, family), model, image_tokenizer)
    dataset = ImageTrajectoryDataset(store)
    last = tokenizer.config.codebook_size - 1
    for index in chosen:
        record = dataset[index]
        outside = record.codes[(record.codes < 0) | (record.codes > last)]
        if outside.numel():
            raise UserError(
                f"{store.folder} has the image code {int(outside[0])}, but those of {model} go "
                f"from 0 to {last}; name the model that it was collected with, with --model"
            )
        draw_film_strip(record, tokenizer.decode, folder / f"image-{index:05d}.png")


def _draw_texts(
    store: TrajectoryStore,
    chosen: Sequence[int],
    folder: Path,
    model: str,
    text_tokenizer: str | None,
    family: str | None,
) -> None:
    tokenizer = load_text_tokenizer(load_config(model, family), model, text_tokenizer)
    if tokenizer is None:
        raise UserError(f"{model} has no text tokenizer; name the model that wrote {store.folder}")
    dataset = open_texts(store)
    for index in chosen:
        path = folder / f"text-{index:05d}.png"
        draw_text_strip(dataset[index], tokenizer.decode, path)
