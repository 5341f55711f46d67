import json
import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from showo_turbo.errors import UserError
from showo_turbo.shapes import write
from showo_turbo.shapes.checker import check
from showo_turbo.shapes.prompts import Prompt, satisfies
from showo_turbo.shapes.sampling import sample_example
from showo_turbo.shapes.write import UNFINISHED_FILE, WORLD_FILE, write_world
from showo_turbo.utils.lock import LOCK_NAME, OWNER_SUFFIX

SIZES = {"images": 30, "documents": 600, "validation_images": 5}


def write_small(folder: Path, **changes: int) -> Path:
    return write_world(folder, progress=False, **{**SIZES, **changes})


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    assert write_small(folder) == folder / WORLD_FILE
    return folder


def test_same_seed_same_bytes(world: Path, tmp_path: Path) -> None:
    write_small(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(world)
    write_small(tmp_path / "other", seed=1)
    other = contents(tmp_path / "other")
    assert other.keys() == contents(world).keys()
    assert (
        other["annotations/captions_train2017.json"]
        != contents(world)["annotations/captions_train2017.json"]
    )


@pytest.mark.parametrize(("split", "count"), [("train", 30), ("val", 5)])
def test_coco_captions_and_their_images(world: Path, split: str, count: int) -> None:
    coco = json.loads((world / f"annotations/captions_{split}2017.json").read_text())
    assert set(coco) == {"info", "licenses", "images", "annotations"}
    assert [image["id"] for image in coco["images"]] == list(range(1, count + 1))
    assert len({item["id"] for item in coco["annotations"]}) == 3 * count
    for index, image in enumerate(coco["images"]):
        with Image.open(world / f"{split}2017" / image["file_name"]) as file:
            assert file.format == "PNG"
            assert file.mode == "RGB"
            assert file.size == (image["width"], image["height"]) == (24, 24)
            pixels = np.asarray(file)
        example = sample_example(index, split=split)
        captions = [a["caption"] for a in coco["annotations"] if a["image_id"] == image["id"]]
        assert tuple(captions) == example.captions
        assert check(pixels, example.prompts[1]).satisfied


@pytest.mark.parametrize(
    ("name", "split", "count"),
    [("llava_v1_5_mix_shapes.json", "train", 30), ("llava_val.json", "val", 5)],
)
def test_llava_records(world: Path, name: str, split: str, count: int) -> None:
    records = json.loads((world / name).read_text())
    assert len(records) == count
    for index, record in enumerate(records):
        assert set(record) == {"id", "image", "conversations"}
        assert (world / record["image"]).is_file()
        messages = record["conversations"]
        assert [m["from"] for m in messages] == ["human", "gpt"] * (len(messages) // 2)
        assert [m["value"].count("<image>") for m in messages] == [1] + [0] * (len(messages) - 1)
        conversation = sample_example(index, split=split).conversation
        assert [m["value"] for m in messages[1::2]] == [turn.answer for turn in conversation]


def test_documents_are_parquet_in_several_row_groups(world: Path) -> None:
    file = pq.ParquetFile(world / "refinedweb/part-00000.parquet")
    assert file.num_row_groups >= 3
    content = file.read()["content"].to_pylist()
    assert len(content) == 600
    assert all(isinstance(text, str) and text for text in content)


@pytest.mark.parametrize(
    ("name", "count"), [("validation", 300), ("test", 1002), ("unseen_combination", 720)]
)
def test_prompt_files(world: Path, name: str, count: int) -> None:
    lines = (world / f"prompts/{name}.jsonl").read_text().splitlines()
    prompts = [Prompt.from_metadata(json.loads(line)) for line in lines]
    assert len({prompt.text for prompt in prompts}) == len(prompts) == count
    coco = json.loads((world / "annotations/captions_train2017.json").read_text())
    captions = {item["caption"] for item in coco["annotations"]}
    assert captions.isdisjoint(prompt.text for prompt in prompts)


def test_a_finished_world_is_left_alone(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(world)
    monkeypatch.setattr(write, "sample_example", lambda *_, **__: pytest.fail("generated again"))
    write_small(world)
    assert contents(world) == before


def test_a_missing_file_is_restored(world: Path, tmp_path: Path) -> None:
    write_small(tmp_path)
    (tmp_path / "train2017/000000000003.png").unlink()
    write_small(tmp_path)
    assert contents(tmp_path) == contents(world)


@pytest.mark.parametrize("stop_at", [0, 13, 33])
def test_an_interrupted_world_is_completed(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    calls = 0
    original = write.png_bytes

    def interrupted(scene: object) -> bytes:
        nonlocal calls
        calls += 1
        if calls > stop_at:
            raise KeyboardInterrupt
        return original(scene)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(write, "png_bytes", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_small(tmp_path)
    assert not (tmp_path / WORLD_FILE).exists()
    torn = tmp_path / "train2017/000000000002.png"
    if torn.exists():
        torn.write_bytes(torn.read_bytes()[:20])
    write_small(tmp_path)
    assert contents(tmp_path) == contents(world)


def test_more_images_extend_fewer(world: Path, tmp_path: Path) -> None:
    write_small(tmp_path, images=10, documents=3)
    small = contents(tmp_path)
    small_captions = json.loads(small["annotations/captions_train2017.json"])["annotations"]
    write_small(tmp_path)
    grown = contents(tmp_path)
    assert grown == contents(world)
    assert all(grown[name] == data for name, data in small.items() if name.endswith(".png"))
    captions = json.loads(grown["annotations/captions_train2017.json"])["annotations"]
    assert captions[: len(small_captions)] == small_captions


def test_a_larger_world_is_used_as_it_is_and_said(
    world: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = contents(world)
    write_small(world, documents=1, images=10)
    assert contents(world) == before
    assert "is larger than asked for" in caplog.text
    assert "30 images instead of 10, 600 documents instead of 1" in caplog.text


def test_a_world_grows_where_it_is_smaller_and_shrinks_nowhere(world: Path, tmp_path: Path) -> None:
    write_small(tmp_path, images=10)
    write_small(tmp_path, documents=1)
    assert contents(tmp_path) == contents(world)


def test_another_seed_is_never_written_over(world: Path) -> None:
    before = contents(world)
    with pytest.raises(UserError, match="says seed 0, asked for seed 1"):
        write_small(world, seed=1)
    assert contents(world) == before


def _write_late(folder: Path, ready: Barrier) -> None:
    ready.wait(60)
    write_small(folder)


def test_processes_that_ask_for_one_world_at_once_all_get_it(world: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(4)
    folder = tmp_path / "shared"
    processes = [context.Process(target=_write_late, args=(folder, ready)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * 4
    assert contents(folder) == contents(world)


def test_everything_is_on_disk_before_the_world_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(write.os, "sync", lambda: seen.append(contents(tmp_path).keys()))
    write_small(tmp_path)
    locked = {LOCK_NAME, f"{LOCK_NAME}{OWNER_SUFFIX}"}
    assert seen == [contents(tmp_path).keys() - {WORLD_FILE} | {UNFINISHED_FILE} | locked]


@pytest.mark.bad_input
def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / LOCK_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link or no file"):
        write_small(tmp_path / "world")
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    captions = tmp_path / "annotations/captions_train2017.json"
    captions.parent.mkdir()
    captions.write_text("precious")
    with pytest.raises(UserError, match="not empty"):
        write_small(tmp_path)
    assert contents(tmp_path) == {"annotations/captions_train2017.json": b"precious"}
    with pytest.raises(UserError, match="is a file"):
        write_small(captions)


@pytest.mark.parametrize("name", [WORLD_FILE, UNFINISHED_FILE])
def test_a_damaged_world_file_is_one_clear_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"seed": "zero"}')
    with pytest.raises(UserError, match="does not describe a shapes world"):
        write_small(tmp_path)


@pytest.mark.parametrize("key", ["images", "documents", "validation_images"])
def test_counts_must_be_positive(tmp_path: Path, key: str) -> None:
    with pytest.raises(UserError, match=f"{key} is 0: expected at least 1"):
        write_small(tmp_path / "world", **{key: 0})
    assert not (tmp_path / "world").exists()


def test_listing_hash_covers_every_file(world: Path, tmp_path: Path) -> None:
    one = json.loads((world / WORLD_FILE).read_text())
    write_small(tmp_path, documents=601)
    two = json.loads((tmp_path / WORLD_FILE).read_text())
    assert one["listing_sha256"] != two["listing_sha256"]
    assert {key: one[key] for key in SIZES} == SIZES


def test_a_prompt_file_is_satisfiable(world: Path) -> None:
    lines = (world / "prompts/test.jsonl").read_text().splitlines()
    wanted = [Prompt.from_metadata(json.loads(line)) for line in lines][:20]
    scenes = [sample_example(index).scene for index in range(3000)]
    for prompt in wanted:
        assert any(satisfies(scene, prompt) for scene in scenes), prompt.text
