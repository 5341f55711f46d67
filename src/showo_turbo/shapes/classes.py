"""Images of the shapes world by class: one object each, in a folder for its color and shape."""

from dataclasses import dataclass
from pathlib import Path

from ..data.bad_samples import Skip, refuse
from ..data.class_folders import ClassFolders, ClassPictures
from ..data.sources import CaptionSource
from ..errors import UserError
from ..utils.files import write_atomically
from .combinations import shows_held_out
from .records import png_bytes
from .sampling import generator
from .scene import BACKGROUNDS, CELLS, COLORS, SHAPES, Scene, SceneObject
from .written_once import write_once

IMAGES, NAMES_FILE, WORLD_FILE = "train", "classes.txt", "classes.world.json"


def write_classes(folder: Path, *, per_class: int, seed: int = 0) -> None:
    """Write images as an ImageFolder: `train/<class>/<number>.png`, and `classes.txt`.

    The classes are colors with shapes, "red circle", those left out that training is never to show.

    Args:
        folder: Where to write; one that holds these images is left alone.
        per_class: Images of each class, at random places and on random backgrounds.
        seed: Seed of all of them.

    Raises:
        UserError: If there are to be none, or the folder holds other images.
    """
    if per_class < 1:
        raise UserError(f"per_class is {per_class}; expected at least 1")
    wanted = {"version": 1, "per_class": per_class, "seed": seed}
    write_once(folder, WORLD_FILE, wanted, "images", lambda: _write(folder, per_class, seed))


def _write(folder: Path, per_class: int, seed: int) -> None:
    names = []
    for number, (color, shape) in enumerate((c, s) for s in SHAPES for c in COLORS):
        alone = Scene((SceneObject(shape, color, 0, 0),), BACKGROUNDS[0])
        if shows_held_out(alone):
            continue
        # Sorted as the names are numbered.
        own = folder / IMAGES / f"{number:02d}_{color}_{shape}"
        own.mkdir(parents=True, exist_ok=True)
        for index in range(per_class):
            random = generator(seed, f"classes/{color} {shape}", index)
            item = SceneObject(shape, color, *random.choice(CELLS))
            scene = Scene((item,), random.choice(BACKGROUNDS))
            (own / f"{index:05d}.png").write_bytes(png_bytes(scene))
        names.append(f"{color} {shape}")
    with write_atomically(folder / NAMES_FILE) as temporary:
        lines = (f"{index}: {name}\n" for index, name in enumerate(names))
        temporary.write_text("".join(lines), encoding="utf-8")


@dataclass(frozen=True)
class ShapesClasses(CaptionSource):
    """Generated images of colored shapes by class.

    Args:
        folder: Where they are, or are to be written.
        per_class: Images of each class.
        seed: Seed of all of them.
    """

    folder: Path
    per_class: int = 200
    seed: int = 0

    def prepare(self) -> None:
        """Write them, if they are not there."""
        write_classes(self.folder, per_class=self.per_class, seed=self.seed)

    def captions(self, skip: Skip = refuse) -> list[str]:
        """The name of every image's class."""
        return self._folders().captions(skip)

    def open(self, resolution: int, skip: Skip = refuse) -> ClassPictures:
        """The images, with the names of their classes."""
        return self._folders().open(resolution, skip)

    def _folders(self) -> ClassFolders:
        return ClassFolders(self.folder / IMAGES, self.folder / NAMES_FILE)
