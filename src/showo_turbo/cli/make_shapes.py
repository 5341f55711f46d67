"""`showo-turbo make-shapes`: write the shapes world."""

from collections.abc import Sequence
from pathlib import Path

from ..shapes.source import ShapesWorld
from ..shapes.write import write_world
from .command_line import run_function


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(make_shapes, arguments, name="make-shapes")


def make_shapes(
    folder: Path,
    images: int = ShapesWorld.images,
    documents: int = ShapesWorld.documents,
    validation_images: int = ShapesWorld.validation_images,
    seed: int = ShapesWorld.seed,
) -> None:
    """Write the shapes world to a folder, in the formats of the real datasets.

    Images with COCO captions and LLaVA conversations, RefinedWeb-like documents, and evaluation
    prompts like GenEval's. The same options give the same bytes; an interrupted world is completed.

    Args:
        folder: Where to write it: a new folder, or that of a shapes world.
        images: Training images, each with three captions and one conversation.
        documents: Text documents.
        validation_images: Images of the validation files.
        seed: Seed of everything in it.
    """
    path = write_world(
        folder,
        images=images,
        documents=documents,
        validation_images=validation_images,
        seed=seed,
    )
    print(f"{images} images, {validation_images} for validation, {documents} documents: {path}")
