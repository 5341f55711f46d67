"""Annotations, prompts and images: good files, and what reads them."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from showo_turbo.cli.prompt_sources import read_prompts
from showo_turbo.data.coco import COCOCaptions
from showo_turbo.data.images import load_image
from showo_turbo.data.llava import LLaVAInstructions
from showo_turbo.data.prompts import PromptFile
from showo_turbo.data.web_text import WebText

from .files import AT_MOST, draw_all, written

SIDE = 16


def pass_over(error):
    """Leave out a bad sample."""


def picture(kind="PNG"):
    file = io.BytesIO()
    Image.linear_gradient("L").resize((SIDE, 2 * SIDE)).convert("RGB").save(file, kind)
    return file.getvalue()


def coco(folder):
    names = ["a.png", "b/c.png"]
    for name in names:
        written(folder / "images" / name, picture())
    images = [{"id": i, "file_name": name, "height": 9} for i, name in enumerate(names)]
    captions = [{"id": i, "image_id": i % 2, "caption": f"caption {i}"} for i in range(3)]
    return written(folder / "coco.json", {"images": images, "annotations": captions})


def read_coco(**options):
    def read(path):
        dataset = COCOCaptions(path.parent / "images", path, SIDE, **options)
        assert all(caption.strip() == caption != "" for caption in dataset.captions())
        for sample in draw_all(dataset):
            assert sample["pixels"].shape == (3, SIDE, SIDE)

    return read


def llava(folder):
    written(folder / "images/a.png", picture())
    turns = [
        {"from": "human", "value": "<image>\nWhat is it?"},
        {"from": "gpt", "value": "A gradient."},
    ]
    records = [{"id": "1", "image": "a.png", "conversations": turns * 2}, {"conversations": turns}]
    return written(folder / "llava.json", records)


def read_llava(**options):
    def read(path):
        images = path.parent / "images"
        dataset = LLaVAInstructions(images, path, SIDE, **options)
        assert all(place.is_relative_to(images) for place, _ in dataset.requests())
        for sample in draw_all(dataset):
            assert sample["question"] and sample["answer"] and isinstance(sample["id"], str)

    return read


def web_text(folder):
    texts = [f"document {i}, of some words" for i in range(7)] + [None]
    file = io.BytesIO()
    table = pa.table({"url": ["u"] * 8, "content": texts})
    pq.write_table(table, file, row_group_size=3, compression="snappy")
    return written(folder / "part.parquet", file.getvalue())


def read_web_text(path):
    dataset = WebText([path])
    for index in range(min(len(dataset), AT_MOST)):
        assert dataset.draw(index, 0)["text"].strip()


def prompts(folder):
    lines = [{"prompt": "a red circle", "tag": "single", "seed": 3}, {"prompt": "b", "tag": "two"}]
    return written(folder / "prompts.jsonl", "\n".join(map(json.dumps, lines)).encode())


def read_evaluation_prompts(path):
    assert all(sample["prompt"] and sample["category"] for sample in draw_all(PromptFile(path, 1)))


def read_prompt_lines(path):
    assert all(entry.text for entry in read_prompts([], path.rename(path.with_suffix(".txt"))))


def read_prompt_objects(path):
    assert all(entry.text for entry in read_prompts([], path))


def an_image(kind):
    return lambda folder: written(folder / "image", picture(kind))


def read_image(path):
    pixels = load_image(path, SIDE)
    assert pixels.shape == (3, SIDE, SIDE) and pixels.abs().max() <= 1
