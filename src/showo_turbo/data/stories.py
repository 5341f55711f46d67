"""Stories, texts and images in turn, to train mixed-modality models on."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from ..errors import BadSample, UserError, shown
from ..utils.files import read_json
from ..utils.random import stateless_seed
from .bad_samples import Skip, refuse
from .fields import text_field, written
from .images import image_path, read_image, square_pixels
from .sources import Source
from .streams import StreamDataset
from .transparency import BACKGROUND, check_background

SEGMENTS = "segments"
"""Of a record: what its texts and images are under."""


@dataclass(frozen=True)
class Picture:
    """Where an image of a story is.

    Attributes:
        path: Its file.
        place: Which image of the file it is, from 0, where several are side by side.
        count: How many the file holds.
    """

    path: Path
    place: int = 0
    count: int = 1

    def cut(self, file: Image.Image, resolution: int) -> Tensor:
        """Pixels `(3, resolution, resolution)` in [-1, 1] of its part of the file.

        Args:
            file: The whole file, as RGB.
            resolution: Side length in pixels.

        Raises:
            BadSample: If the file cannot be divided into so many images.
        """
        if file.width % self.count:
            raise BadSample(
                f"{self.path} is {file.width} pixels wide, which cannot be divided into "
                f"{self.count} images of one width; expected one for each text, correct it or "
                "remove the story"
            )
        width = file.width // self.count
        left = self.place * width
        part = file.crop((left, 0, left + width, file.height))
        return square_pixels(part, resolution, name=f"image {self.place} of {self.path}")


def load_pictures(
    pictures: Sequence[Picture], resolution: int, background: str = BACKGROUND
) -> list[Tensor]:
    """Pixels `(3, resolution, resolution)` in [-1, 1] of each image; each file is read once.

    Args:
        pictures: The images.
        resolution: Side length in pixels.
        background: Color that shows through transparent parts.

    Raises:
        BadSample: If a file cannot be read, or cannot be divided into its images.
    """
    paths = dict.fromkeys(picture.path for picture in pictures)
    files = {path: read_image(path, background) for path in paths}
    return [picture.cut(files[picture.path], resolution) for picture in pictures]


@dataclass(frozen=True)
class Story:
    """A request, then a text for every step, each with an image.

    Attributes:
        id: Its name.
        texts: The request first.
        pictures: One for each text.
    """

    id: str
    texts: tuple[str, ...]
    pictures: tuple[Picture, ...]


class StorySource(Source, ABC):
    """Stories; one of a user's own derives from this class.

    Attributes:
        background: Color that shows through transparent parts of the images.
    """

    background: str = BACKGROUND

    @abstractmethod
    def stories(self, skip: Skip = refuse) -> Sequence[Story]:
        """All stories, in the same order whenever they are asked for; no image is read.

        Args:
            skip: To be called with each `BadSample` that is found; leaves it out, or raises.

        Raises:
            UserError: If there are none, or they cannot be read.
        """

    def open(self, resolution: int, skip: Skip = refuse) -> "StoryStream":
        """The stories as a stream to train on.

        Args:
            resolution: Side length of the images in pixels.
            skip: See `stories`.
        """
        return StoryStream(self.stories(skip), resolution, self.background)


class StoryStream(StreamDataset):
    """Beginnings of stories, each up to the image to generate, or to the story's end.

    A sample is `{"texts": [str, ...], "pixels": [(3, resolution, resolution), ...], "id": str,
    "seed": int}`. The seed chooses a step k of the story: it comes with all texts and images up
    to k, of which the last image is to be generated; or, as one more choice, as a whole, with an
    empty text behind it, which is the end.

    Args:
        stories: The stories.
        resolution: Side length of the images in pixels.
        background: Color that shows through transparent parts of the images.
    """

    def __init__(
        self, stories: Sequence[Story], resolution: int, background: str = BACKGROUND
    ) -> None:
        self.stories = stories
        self.resolution = resolution
        self.background = background

    def __len__(self) -> int:
        """Number of stories."""
        return len(self.stories)

    def draw(self, index: int, seed: int) -> dict[str, Any]:
        """The beginning of the story at `index` that `seed` chooses."""
        story = self.stories[index]
        count = stateless_seed(seed, stream="keyframe") % (len(story.texts) + 1) + 1
        pictures = story.pictures[:count]
        ended = [""] if count > len(story.texts) else []
        return {
            "texts": [*story.texts[:count], *ended],
            "pixels": load_pictures(pictures, self.resolution, self.background),
            "id": story.id,
            "seed": seed,
        }


@dataclass(frozen=True)
class StoryFiles(StorySource):
    """Stories in a JSON file.

    It holds a list of records, `{"id": ..., "segments": [{"text": ..., "image": ...}, ...]}`, the
    request with the image that it begins with first. The format of GenHowTo's successor ShowHowTo
    is read as well: an object with a list of texts under the name of each story, whose images lie
    side by side in one file, `imgseqs/<name>.jpg`; the first text then is the request.

    Args:
        images: Folder that the records' paths start from.
        annotations: The JSON file.
        background: Color that shows through transparent parts of the images, such as `black` or
            `#808080`.
    """

    images: Path
    annotations: Path
    background: str = BACKGROUND

    def __post_init__(self) -> None:
        check_background(self.background)

    def stories(self, skip: Skip = refuse) -> list[Story]:
        """Read all records; of the images only that their paths are sound."""
        return read_stories(self.annotations, self.images, skip)


def read_stories(annotations: Path, images: Path, skip: Skip = refuse) -> list[Story]:
    """Read the stories of a JSON file; see `StoryFiles`.

    Args:
        annotations: The file.
        images: Folder that paths start from.
        skip: Leaves out a bad story, or raises.

    Raises:
        UserError: If the file is missing, not JSON, or holds no story; or, being refused, one is
            malformed, or has an empty text.
    """
    content = read_json(annotations)
    if not isinstance(content, list | dict):
        raise UserError(
            f"{annotations} is {shown(content)}; expected a list of stories, each with "
            f"{SEGMENTS!r}, or an object of lists of texts, name another file"
        )
    read: list[Callable[[], Story]]
    if isinstance(content, dict):
        read = [
            partial(_of_strip, name, texts, f"{shown(name)} of {annotations}", images)
            for name, texts in content.items()
        ]
    else:
        read = [
            partial(_of_record, record, f"story {number} of {annotations}", images)
            for number, record in enumerate(content)
        ]
    found = []
    for story in read:
        try:
            found.append(story())
        except BadSample as error:
            skip(error)
    if not found:
        raise UserError(f"{annotations} holds no story; expected some, name another file")
    return found


def _of_record(record: Any, where: str, images: Path) -> Story:
    """The story of a record of ours."""
    segments = record.get(SEGMENTS) if isinstance(record, dict) else None
    if not isinstance(segments, list) or not segments:
        raise BadSample(
            f"{where} has {shown(segments)} for {SEGMENTS!r}; expected a list of texts with "
            "images, correct or remove it"
        )
    story_id = record.get("id", where)
    if type(story_id) not in (str, int):
        raise BadSample(
            f"{where} has {shown(story_id)} for 'id'; expected a text or an integer, correct or "
            "remove it"
        )
    places = [(segment, f"segment {i} of {where}") for i, segment in enumerate(segments)]
    texts = tuple(text_field(segment, "text", place) for segment, place in places)
    paths = [
        image_path(images, text_field(segment, "image", place), place) for segment, place in places
    ]
    return _checked(Story(str(story_id), texts, tuple(map(Picture, paths))), where)


def _of_strip(name: str, texts: Any, where: str, images: Path) -> Story:
    """The story of a list of texts, whose images lie side by side."""
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise BadSample(
            f"{where} is {shown(texts)}; expected a list of texts, correct or remove it"
        )
    path = image_path(images, f"imgseqs/{name}.jpg", where)
    pictures = (Picture(path, place, len(texts)) for place in range(len(texts)))
    told = tuple(written(text, f"text {i}", where) for i, text in enumerate(texts))
    return _checked(Story(name, told, tuple(pictures)), where)


def _checked(story: Story, where: str) -> Story:
    """A story, if it has a step: one without would teach to end at once.

    Raises:
        BadSample: If it has none.
    """
    if len(story.texts) < 2:
        raise BadSample(
            f"{where} has one text; expected the request and at least one step, add steps or "
            "remove it"
        )
    return story
