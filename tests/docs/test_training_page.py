"""What the page on training shows in Python, with fewer samples."""

import re
import sys
from importlib import import_module

import pytest

from showo_turbo.evaluation import EvaluationPlan
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.shapes.write import write_world
from showo_turbo.trajectories import TrajectoryStore

from .pages import DOCS, blocks, forget_modules, write_files

PAGE = DOCS / "training.md"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a small shapes world where the section writes a large one."""
    monkeypatch.chdir(tmp_path)
    write_world("data/shapes", images=48, documents=16, validation_images=8, progress=False)
    return tmp_path


def block_with(part):
    """The Python block of the page that has this in it."""
    (found,) = [block for block in blocks("python", PAGE) if part in block.text]
    return found


def with_fewer_samples(text):
    smaller = {"64": "4", "epochs=2": "epochs=1"}
    world = "images=48, documents=16, validation_images=8"
    text = re.sub(r'ShapesWorld\((Path\("data/shapes"\))\)', rf"ShapesWorld(\1, {world})", text)
    smaller["DistillationDataModule(24,"] = "DistillationDataModule(24, prompts_per_category=1,"
    smaller["ShowoTurbo()"] = "ShowoTurbo(**small)"
    for old, new in smaller.items():
        assert old in text
        text = text.replace(old, new)
    return text


def test_training_from_python(here, random_shapes_model):
    """With networks of hardly any width in place of the shapes model."""
    code = block_with("trainer.fit(").text
    small = {
        "student": str(random_shapes_model),
        "text_tokenizer": str(random_shapes_model),
        "max_language_length": 32,
        "decoding": TextDecoding(max_new_tokens=32),
        "evaluation": EvaluationPlan(decoding=TextDecoding(max_new_tokens=6)),
    }
    exec(compile(with_fewer_samples(code), str(PAGE), "exec"), {"small": small})
    for round_index in (0, 1):
        store = here / f"runs/mine/curriculum/round-{round_index}/images"
        assert TrajectoryStore.open(store).num_samples == 4


def test_files_of_one_s_own_from_python(here):
    """The pictures of the world's training files, under the names of the page."""
    files = {
        "pictures": "train2017",
        "captions.json": "annotations/captions_train2017.json",
        "questions.json": "llava_v1_5_mix_shapes.json",
    }
    for name, original in files.items():
        (here / name).symlink_to(here / "data/shapes" / original)
    found = {}
    exec(compile(block_with("captions=CaptionFiles").text, str(PAGE), "exec"), found)
    data = found["data"]
    data.setup("fit")
    assert len(data.image_prompts(5)) == 5
    (image, question), *_ = data.text_requests(1)
    assert image.parts[0] == "pictures" and question
    assert set(data.batch_sizes) == {"image", "text"}


def test_captions_in_another_form(here, monkeypatch):
    assert write_files(PAGE, here) == ["my_captions.py"]
    monkeypatch.syspath_prepend(str(here))
    (here / "a.txt").write_text("a cat\na dog\n")
    known = set(sys.modules)
    own = import_module("my_captions").CaptionLines(here / "a.txt")
    assert own.captions(None) == ["a cat", "a dog"]
    forget_modules(known, here)
