"""What the README's section on use shows, with fewer samples."""

import re
import shlex
from pathlib import Path

import pytest

from showo_turbo.cli.main import main
from showo_turbo.evaluation import EvaluationPlan
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.shapes.write import write_world
from showo_turbo.trajectories import TrajectoryStore

README = Path(__file__).parents[1] / "README.md"
SECTION = README.read_text(encoding="utf-8").split("\n## Use\n")[1].split("\n## ")[0]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a small shapes world where the section writes a large one."""
    monkeypatch.chdir(tmp_path)
    write_world("data/shapes", images=48, documents=16, validation_images=8, progress=False)
    return tmp_path


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


def test_collecting_and_showing(here, monkeypatch, capsys):
    (block, *_) = re.findall(r"```bash\n(.*?)```", SECTION, flags=re.DOTALL)
    world = "--shapes.images 48 --shapes.documents 16 --shapes.validation_images 8"
    lines = [line for line in block.splitlines() if "data/trajectories" in line]
    assert len(lines) == 2
    for line in lines:
        line = line.replace("--shapes.folder data/shapes", f"--shapes.folder data/shapes {world}")
        monkeypatch.setattr("sys.argv", shlex.split(line.replace("64", "4"), comments=True))
        main()
    assert "Trajectories in data/trajectories/images" in capsys.readouterr().out
    assert list((here / "data").rglob("*-strips/*.png"))


def test_training_from_python(here, random_shapes_model):
    """With networks of hardly any width in place of the shapes model."""
    (code, *_) = re.findall(r"```python\n(from pathlib.*?)```", SECTION, flags=re.DOTALL)
    small = {
        "student": str(random_shapes_model),
        "text_tokenizer": str(random_shapes_model),
        "max_language_length": 32,
        "decoding": TextDecoding(max_new_tokens=32),
        "evaluation": EvaluationPlan(decoding=TextDecoding(max_new_tokens=6)),
    }
    exec(compile(with_fewer_samples(code), "README.md", "exec"), {"small": small})
    for round_index in (0, 1):
        store = here / f"runs/mine/curriculum/round-{round_index}/images"
        assert TrajectoryStore.open(store).num_samples == 4


def test_files_of_one_s_own_from_python(here):
    """The pictures of the world's training files, under the names of the README."""
    files = {
        "pictures": "train2017",
        "captions.json": "annotations/captions_train2017.json",
        "questions.json": "llava_v1_5_mix_shapes.json",
    }
    for name, original in files.items():
        (here / name).symlink_to(here / "data/shapes" / original)
    (code,) = re.findall(
        r"With files of your own:\n\n```python\n(.*?)```", SECTION, flags=re.DOTALL
    )
    found = {}
    exec(compile(code, "README.md", "exec"), found)
    data = found["data"]
    data.setup("fit")
    assert len(data.image_prompts(5)) == 5
    (image, question), *_ = data.text_requests(1)
    assert image.parts[0] == "pictures" and question
    assert set(data.batch_sizes) == {"image", "text"}
