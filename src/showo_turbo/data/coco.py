"""COCO captions (https://cocodataset.org/#format-data)."""

from pathlib import Path
from typing import Any, TypeVar

from ..errors import UserError
from ..files import read_json
from .images import image_path, load_image
from .streams import StreamDataset

_Value = TypeVar("_Value", int, str)

_KINDS: dict[type, str] = {int: "an integer", str: "a text"}


class COCOCaptions(StreamDataset):
    """Images with one of their captions.

    A sample is `{"pixels": (3, resolution, resolution), "caption": str, "image_id": int,
    "seed": int}`; the seed decides which of the image's captions it is. Images without a caption
    are left out.

    Args:
        images: Folder of the images, such as `train2017`.
        annotations: The captions file, such as `annotations/captions_train2017.json`.
        resolution: Side length in pixels.

    Raises:
        UserError: If the annotations are missing, not JSON, lack keys, describe images that they do
            not list, or hold no caption.
    """

    def __init__(self, images: Path, annotations: Path, resolution: int) -> None:
        self.images = Path(images)
        self.resolution = resolution
        self._records = _read_captions(Path(annotations), self.images)

    def __len__(self) -> int:
        """Number of images that have a caption."""
        return len(self._records)

    def draw(self, index: int, seed: int) -> dict[str, Any]:
        """The image at `index` with the caption that `seed` chooses."""
        image_id, path, captions = self._records[index]
        return {
            "pixels": load_image(path, self.resolution),
            "caption": captions[seed % len(captions)],
            "image_id": image_id,
            "seed": seed,
        }

    def captions(self) -> list[str]:
        """All captions, image by image."""
        return [caption for _, _, captions in self._records for caption in captions]


def _read_captions(annotations: Path, images: Path) -> list[tuple[int, Path, list[str]]]:
    """The image id, path and captions of every image that has captions, in the file's order."""
    content = read_json(annotations)
    paths: dict[int, Path] = {}
    captions: dict[int, list[str]] = {}
    for number, image in enumerate(_list(content, "images", annotations)):
        where = f"images[{number}] of {annotations}"
        image_id = _field(image, "id", int, where)
        paths[image_id] = image_path(images, _field(image, "file_name", str, where))
    for number, annotation in enumerate(_list(content, "annotations", annotations)):
        where = f"annotations[{number}] of {annotations}"
        image_id = _field(annotation, "image_id", int, where)
        if image_id not in paths:
            raise UserError(
                f"{where} has image_id {image_id}, which no entry of 'images' has; "
                "add the image or remove the caption"
            )
        captions.setdefault(image_id, []).append(_field(annotation, "caption", str, where).strip())
    if not captions:
        raise UserError(f"{annotations} holds no caption; expected COCO captions")
    return [
        (image_id, paths[image_id], captions[image_id])
        for image_id in paths
        if image_id in captions
    ]


def _list(content: Any, key: str, file: Path) -> list[Any]:
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, list):
        raise UserError(
            f"{file} has no list {key!r}; expected COCO captions with 'images' and 'annotations'"
        )
    return value


def _field(record: Any, key: str, kind: type[_Value], where: str) -> _Value:
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, kind):
        found = "nothing" if value is None else repr(value)
        raise UserError(f"{where} has {found} for {key!r}; expected {_KINDS[kind]}")
    return value
