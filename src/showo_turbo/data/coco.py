"""COCO captions (https://cocodataset.org/#format-data)."""

from pathlib import Path
from typing import Any

from ..errors import BadSample, UserError, shown
from ..utils.files import read_json
from .bad_samples import Skip, refuse
from .clips import load_pixels
from .fields import integer_field, text_field
from .images import image_path
from .streams import StreamDataset
from .transparency import BACKGROUND


class COCOCaptions(StreamDataset):
    """Images with one of their captions.

    A sample is `{"pixels": (3, resolution, resolution), "caption": str, "image_id": int,
    "seed": int}`; the seed decides which of the image's captions it is. Images without a caption
    are left out.

    Args:
        images: Folder of the images, such as `train2017`.
        annotations: The captions file, such as `annotations/captions_train2017.json`.
        resolution: Side length in pixels.
        skip: Leaves out a bad entry, or raises.
        background: Color that shows through transparent parts of the images.
        frames: Frames of each clip, where the files are clips; pixels then are `(3, frames,
            resolution, resolution)`.

    Raises:
        UserError: If the annotations are missing, not JSON, or hold no caption; or, being refused,
            entries lack keys, have empty texts, or describe images that are not listed.
    """

    def __init__(
        self,
        images: Path,
        annotations: Path,
        resolution: int,
        skip: Skip = refuse,
        *,
        background: str = BACKGROUND,
        frames: int | None = None,
    ) -> None:
        self.images = Path(images)
        self.resolution = resolution
        self.background = background
        self.frames = frames
        self._records = read_coco_captions(Path(annotations), self.images, skip)

    def __len__(self) -> int:
        """Number of images that have a caption."""
        return len(self._records)

    def draw(self, index: int, seed: int) -> dict[str, Any]:
        """The image at `index` with the caption that `seed` chooses."""
        image_id, path, captions = self._records[index]
        return {
            "pixels": load_pixels(path, self.frames, self.resolution, self.background),
            "caption": captions[seed % len(captions)],
            "image_id": image_id,
            "seed": seed,
        }

    def captions(self) -> list[str]:
        """All captions, image by image."""
        return [caption for _, _, captions in self._records for caption in captions]


def read_coco_captions(
    annotations: Path, images: Path, skip: Skip = refuse
) -> list[tuple[int, Path, list[str]]]:
    """The image id, path and captions of every image that has captions, in the file's order.

    Args:
        annotations: The captions file.
        images: Folder of the images.
        skip: Leaves out a bad entry, or raises.

    Raises:
        UserError: See `COCOCaptions`.
    """
    content = read_json(annotations)
    paths: dict[int, Path] = {}
    captions: dict[int, list[str]] = {}
    for number, image in enumerate(_list(content, "images", annotations)):
        try:
            image_id, path = _image(image, f"images[{number}] of {annotations}", images)
            if image_id in paths:
                raise BadSample(
                    f"images[{number}] of {annotations} has the id {image_id} of another image; "
                    "expected ids of their own, correct or remove it"
                )
            paths[image_id] = path
        except BadSample as error:
            skip(error)
    for number, annotation in enumerate(_list(content, "annotations", annotations)):
        where = f"annotations[{number}] of {annotations}"
        try:
            image_id = integer_field(annotation, "image_id", where)
            if image_id not in paths:
                raise BadSample(
                    f"{where} has image_id {shown(image_id)}, which no entry of 'images' has; "
                    "add the image or remove the caption"
                )
            caption = text_field(annotation, "caption", where)
            captions.setdefault(image_id, []).append(caption)
        except BadSample as error:
            skip(error)
    if not captions:
        raise UserError(
            f"{annotations} holds no caption; expected COCO captions, name another file"
        )
    return [
        (image_id, paths[image_id], captions[image_id])
        for image_id in paths
        if image_id in captions
    ]


def _image(record: Any, where: str, images: Path) -> tuple[int, Path]:
    """The id and the path of an entry of `images`."""
    image_id = integer_field(record, "id", where)
    return image_id, image_path(images, text_field(record, "file_name", where), where)


def _list(content: Any, key: str, file: Path) -> list[Any]:
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, list):
        raise UserError(
            f"{file} has no list {key!r}; expected COCO captions with 'images' and 'annotations', "
            "name another file"
        )
    return value
