"""Small files in the real formats, made by the tests."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skimage.data
from PIL import Image

# Color, gray scale, and with transparency; none is square after being read but the astronaut.
PHOTOGRAPHS = {
    "astronaut.jpg": ["an astronaut before a flag", "a smiling woman in an orange suit"],
    "chelsea.jpg": ["a tabby cat", "a cat that looks at you", "the face of a cat"],
    "coffee.png": ["a cup of coffee on a saucer"],
    "rocket.jpg": ["a rocket on its launch pad"],
    "camera.png": ["a man with a camera, in black and white"],
    "logo.png": ["the logo of a library"],
}


@dataclass(frozen=True)
class PhotographFolder:
    """A folder with photographs in the layouts of COCO and LLaVA, and texts like RefinedWeb's."""

    root: Path

    @property
    def images(self) -> Path:
        return self.root / "train2017"

    @property
    def captions(self) -> Path:
        return self.root / "annotations" / "captions_train2017.json"

    @property
    def instructions(self) -> Path:
        return self.root / "llava.json"

    @property
    def texts(self) -> Path:
        return self.root / "refinedweb"


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_texts(path: Path, texts: Sequence[str | None], row_group_size: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"url": ["https://example.org"] * len(texts), "content": list(texts)})
    pq.write_table(table, path, row_group_size=row_group_size)
    return path


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> PhotographFolder:
    """Shared by all tests: copy what is to be damaged."""
    folder = PhotographFolder(tmp_path_factory.mktemp("photographs"))
    folder.images.mkdir(parents=True)
    images, annotations, records = [], [], []
    for number, (name, captions) in enumerate(PHOTOGRAPHS.items()):
        pixels = getattr(skimage.data, name.partition(".")[0])()
        image = Image.fromarray(pixels)
        image.save(folder.images / name)
        # As in COCO: ids are no indices, and annotations are not sorted by image.
        images.append({"id": 1000 - number, "file_name": name, "height": 1, "width": 1})
        for caption in captions:
            annotations.insert(
                0, {"id": len(annotations), "image_id": 1000 - number, "caption": f"{caption}\n"}
            )
        records.append(
            {
                "id": f"photograph-{number}",
                "image": f"train2017/{name}",
                "conversations": [
                    {"from": "human", "value": "<image>\nWhat is this?"},
                    {"from": "gpt", "value": captions[0]},
                    {"from": "human", "value": "Is it a photograph?"},
                    {"from": "gpt", "value": "Yes."},
                ],
            }
        )
    records.insert(
        1,
        {
            "id": "text-only",
            "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hi."}],
        },
    )
    write_json(folder.captions, {"images": images, "annotations": annotations})
    write_json(folder.instructions, records)
    write_texts(folder.texts / "part-00000.parquet", [f"document {i}" for i in range(7)])
    write_texts(folder.texts / "more" / "part-00001.parquet", ["document 7"])
    return folder
