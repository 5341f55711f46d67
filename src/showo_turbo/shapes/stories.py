"""Stories of moving shapes: a scene, a request, and step by step a sentence and a keyframe."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from ..data.bad_samples import Skip, refuse
from ..data.stories import Story, StoryFiles, StorySource
from ..errors import UserError, shown
from ..utils.files import write_json
from .combinations import hashed_split
from .moves import DIRECTIONS, Change, request_text
from .records import png_bytes
from .sampling import generator
from .scene import BACKGROUNDS, CELLS, COLORS, SHAPES, Scene, SceneObject
from .wording import describe
from .written_once import write_once

SPLITS = ("train", "validation", "test")
MAX_STEPS = 3
"""Most changes of a story."""

_PARTS: tuple[tuple[str, ...], ...] = (("move",), ("turn",), ("move", "turn"), ("turn", "move"))
_WEIGHTS = (1, 1, 2, 2)
"""What a story consists of, and how often: longer ones cannot always happen."""

STORIES_FILE, WORLD_FILE = "stories.json", "stories.world.json"
_VERSION = 2


@dataclass(frozen=True)
class ShapesStory:
    """A story and its meaning.

    Attributes:
        before: The scene that it begins with.
        changes: What is asked for, one change a step, all of the same object.
    """

    before: Scene
    changes: tuple[Change, ...]

    @property
    def request(self) -> str:
        """What asks for the changes."""
        return request_text(self.changes)

    @property
    def scenes(self) -> list[Scene]:
        """The scenes of all keyframes, that of the beginning first."""
        found = [self.before]
        for change in self.changes:
            after = change.apply(found[-1])
            assert after is not None  # as stories are made
            found.append(after)
        return found

    @property
    def texts(self) -> list[str]:
        """The request and the sentences."""
        return [self.request, *(change.sentence for change in self.changes)]


def check_split(split: str) -> None:
    """Raise if there is no such split.

    Raises:
        UserError: Naming it.
    """
    if split not in SPLITS:
        raise UserError(f"there is no split {shown(split)}; choose {', '.join(SPLITS)}")


def split_of(scene: Scene) -> str:
    """The split whose stories may begin with a scene; a hash of what it shows decides.

    No training story shows a scene of another split, not even at its end.
    """
    objects = tuple(sorted(scene.objects, key=lambda item: (item.shape, item.color)))
    return hashed_split(f"story/{describe(Scene(objects, scene.background))}")


def sample_story(index: int, seed: int = 0, *, split: str = "train") -> ShapesStory:
    """Draw a story; it depends on nothing but the arguments.

    Args:
        index: Number of the story in its split, from 0.
        seed: Seed of all stories.
        split: `train`, or `validation` or `test`, which begin with scenes that no story of another
            split begins with and no training story shows.

    Raises:
        UserError: For another split.
    """
    check_split(split)
    random = generator(seed, f"stories/{split}", index)
    while True:
        scene = _draw_scene(random)
        if split_of(scene) != split:
            continue
        story = _draw_changes(scene, random)
        if story is None or (split == "train" and {*map(split_of, story.scenes)} != {"train"}):
            continue
        return story


def _draw_scene(random: Random) -> Scene:
    """One or two objects, which differ in shape and in color."""
    count = random.randint(1, 2)
    shapes, colors = random.sample(SHAPES, count), random.sample(COLORS, count)
    objects = (
        SceneObject(shape, color, *cell)
        for shape, color, cell in zip(shapes, colors, random.sample(CELLS, count), strict=True)
    )
    return Scene(tuple(objects), random.choice(BACKGROUNDS))


def _draw_changes(scene: Scene, random: Random) -> ShapesStory | None:
    """A move of one or two cells, another color, or both in any order; None if it cannot be."""
    actor = random.choice(scene.objects)
    (parts,) = random.choices(_PARTS, _WEIGHTS)
    color = actor.color
    changes: list[Change] = []
    for part in parts:
        if part == "turn":
            taken = {item.color for item in scene.objects}
            turned = random.choice([own for own in COLORS if own not in taken])
            changes.append(Change(color, actor.shape, turn=turned))
            color = turned
        else:
            direction = random.choice(tuple(DIRECTIONS))
            changes += [Change(color, actor.shape, move=direction)] * random.randint(1, 2)
    after = scene
    for change in changes:
        changed = change.apply(after)
        if changed is None:
            return None
        after = changed
    return ShapesStory(scene, tuple(changes))


def write_stories(folder: Path, *, stories: int, seed: int = 0, split: str = "train") -> Path:
    """Write stories as JSON and PNG files, in the format of `StoryFiles`.

    Args:
        folder: Gets `stories.json` and `images`, and last a note of what it holds. A folder that
            holds these stories is left alone.
        stories: How many.
        seed: Seed of all of them.
        split: Which of them, see `sample_story`.

    Returns:
        The JSON file.

    Raises:
        UserError: If there are to be none, there is no such split, or the folder holds other
            stories.
    """
    if stories < 1:
        raise UserError(f"stories is {stories}; expected at least 1")
    check_split(split)
    wanted = {"version": _VERSION, "stories": stories, "seed": seed, "split": split}

    def write() -> None:
        records = []
        (folder / "images").mkdir(exist_ok=True)
        for name, story in _named(stories, seed, split):
            segments = []
            for number, (text, scene) in enumerate(zip(story.texts, story.scenes, strict=True)):
                file = f"images/{name}-{number}.png"
                (folder / file).write_bytes(png_bytes(scene))
                segments.append({"text": text, "image": file})
            records.append({"id": name, "segments": segments})
        write_json(folder / STORIES_FILE, records)

    write_once(folder, WORLD_FILE, wanted, "stories", write)
    return folder / STORIES_FILE


def _named(stories: int, seed: int, split: str) -> Iterator[tuple[str, ShapesStory]]:
    for index in range(stories):
        yield f"{index:06d}", sample_story(index, seed, split=split)


@dataclass(frozen=True)
class ShapesStories(StorySource):
    """Generated stories of moving shapes.

    Args:
        folder: Where they are, or are to be written.
        count: How many.
        seed: Seed of all of them.
        split: `train`, or `validation` or `test`, see `sample_story`.
    """

    folder: Path
    count: int = 12000
    seed: int = 0
    split: str = "train"

    def prepare(self) -> None:
        """Write them, if they are not there."""
        write_stories(self.folder, stories=self.count, seed=self.seed, split=self.split)

    def stories(self, skip: Skip = refuse) -> list[Story]:
        """Read them."""
        return StoryFiles(self.folder, self.folder / STORIES_FILE).stories(skip)
