"""Examples in the layouts of COCO captions, LLaVA instructions and GenEval prompts."""

import io
import json
from collections.abc import Sequence
from typing import Any

from PIL import Image

from .conversations import to_llava
from .prompts import Prompt
from .render import render
from .sampling import Example
from .scene import IMAGE_SIZE, Scene


def image_file_name(index: int) -> str:
    """COCO's twelve-digit file name of the image with an index from 0; ids count from 1."""
    return f"{index + 1:012d}.png"


def png_bytes(scene: Scene) -> bytes:
    """The rendered scene as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(render(scene)).save(buffer, format="PNG")
    return buffer.getvalue()


def coco_captions(examples: Sequence[Example], description: str) -> dict[str, Any]:
    """The examples as a COCO captions file (https://cocodataset.org/#format-data)."""
    images = [
        {
            "license": 1,
            "file_name": image_file_name(index),
            "height": IMAGE_SIZE,
            "width": IMAGE_SIZE,
            "id": index + 1,
        }
        for index in range(len(examples))
    ]
    annotations: list[dict[str, Any]] = []
    for index, example in enumerate(examples):
        for caption in example.captions:
            annotations.append(
                {"image_id": index + 1, "id": len(annotations) + 1, "caption": caption}
            )
    return {
        "info": {"description": description, "version": "1.0"},
        "licenses": [{"id": 1, "name": "Apache-2.0", "url": "https://www.apache.org/licenses/"}],
        "images": images,
        "annotations": annotations,
    }


def llava_records(examples: Sequence[Example], image_folder: str) -> list[dict[str, Any]]:
    """The examples as LLaVA instruction records; image paths start with `image_folder`."""
    return [
        {
            "id": f"{index + 1:012d}",
            "image": f"{image_folder}/{image_file_name(index)}",
            "conversations": to_llava(example.conversation),
        }
        for index, example in enumerate(examples)
    ]


def prompt_lines(prompts: Sequence[Prompt]) -> bytes:
    """The prompts as GenEval's metadata, one JSON object a line."""
    return "".join(json.dumps(prompt.to_metadata()) + "\n" for prompt in prompts).encode()
