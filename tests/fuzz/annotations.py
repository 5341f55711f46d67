"""Annotations, prompts and images: good files, and what reads them."""

import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from showo_turbo.cli.prompt_sources import read_prompts
from showo_turbo.data.class_folders import read_class_names
from showo_turbo.data.clip_writing import write_clip
from showo_turbo.data.clips import load_clip
from showo_turbo.data.coco import COCOCaptions
from showo_turbo.data.images import load_image
from showo_turbo.data.llava import LLaVAInstructions
from showo_turbo.data.prompts import PromptFile
from showo_turbo.data.shards import ImageTextShards
from showo_turbo.data.stories import StoryFiles
from showo_turbo.data.web_text import WebText

from .files import AT_MOST, draw_all, written

SIDE, FRAMES = 16, 3


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


def stories(folder):
    """Records, with a file for each picture."""
    names = ["a.png", "b/c.png"]
    for name in names:
        written(folder / "images" / name, picture())
    segments = [{"text": f"text {i}", "image": name} for i, name in enumerate(names)]
    return written(folder / "stories.json", [{"id": i, "segments": segments} for i in range(2)])


def strips(folder):
    """Lists of texts, the pictures of each in one file."""
    written(folder / "images" / "imgseqs" / "bread.jpg", picture("JPEG"))
    return written(folder / "prompts.json", {"bread": ["dough", "a loaf"], "cake": ["dough"]})


def read_stories(**options):
    def read(path):
        for sample in draw_all(StoryFiles(path.parent / "images", path).open(SIDE, **options)):
            assert sample["texts"][0] and len(sample["texts"]) - len(sample["pixels"]) in (0, 1)
            assert all(own.shape == (3, SIDE, SIDE) for own in sample["pixels"])

    return read


def tar_shard(folder):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for key in ("a/0", "a/\xe9"):
            for ending, content in ((".png", picture()), (".json", b'{"caption": "a gradient"}')):
                info = tarfile.TarInfo(f"{key}{ending}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return written(folder / "a.tar", file.getvalue())


def parquet_shard(folder):
    rows = [{"bytes": picture(), "path": "a.png"}] * 3
    table = pa.table({"image": rows, "caption": ["a", "b", "a"]})
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=2)
    return written(folder / "a.parquet", file.getvalue())


def read_shard(path):
    for sample in draw_all(ImageTextShards([path]).open(SIDE)):
        assert sample["pixels"].shape == (3, SIDE, SIDE) and sample["caption"].strip()


def class_names(folder):
    return written(folder / "names.txt", b"{0: 'tench, Tinca tinca',\n 1: \"jack-o'-lantern\"}\n")


def read_names(path):
    assert all(read_class_names(path))


def a_clip(ending):
    def prepare(folder):
        frames = [Image.new("RGB", (SIDE, SIDE), (40 * i, 0, 0)) for i in range(FRAMES)]
        write_clip(folder / f"a{ending}", frames)
        return folder / f"a{ending}"

    return prepare


def read_clip(path):
    assert load_clip(path, FRAMES, SIDE).shape == (3, FRAMES, SIDE, SIDE)


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
